"""The composition root: Config -> Gateway -> Litestar. The one file that knows everyone."""

from __future__ import annotations

import asyncio
import glob
import hashlib
import os
import random
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
from litestar import Litestar

from gateway import events, prices
from gateway.abilities import abilities
from gateway.access.keys import Caller, Doorkeeper
from gateway.accounts import provider, same_place
from gateway.api.fronts import FRONTS
from gateway.api.inbound import Inbound
from gateway.api.kept_responses import KeptResponses
from gateway.api.routes import build_routes
from gateway.api.service import Service
from gateway.attempt import Means
from gateway.catalogue import Offers
from gateway.chat import Usage
from gateway.config import Config, load
from gateway.config import Provider as ProviderSettings
from gateway.config.checking import is_loopback
from gateway.deciding import Decider, World
from gateway.errors import OperatorError, Problem
from gateway.listings import Listings
from gateway.media import Media
from gateway.observe import FLUSH, families
from gateway.observe.metrics import BREAKER, UNKNOWN, Known, Reading
from gateway.observe.observability import Logging
from gateway.observing import Observing
from gateway.pinned import Pinned
from gateway.prices import PriceBook
from gateway.provider import Provider
from gateway.relay import Gateway
from gateway.resilience.breaker import State
from gateway.resilience.health import Health, Moved
from gateway.resilience.spike import Swing
from gateway.routing import Target
from gateway.routing.evidence import Evidence
from gateway.routing.planner import Entry, Owner, Planner
from gateway.routing.scores import scores
from gateway.simulator import Simulator
from gateway.stores import Store
from gateway.stores.memory import MemoryStore
from gateway.telling import priced_once
from gateway.thoughts import Thoughts
from gateway.upstream import Upstream, shown_url
from gateway.wire.bounded import BoundedProtocol
from gateway.wire.dialing import origin_of
from gateway.wire.lane import Lanes

# How often the configuration file is looked at, in seconds.
LOOK_EVERY = 1.0
# A client that takes no more has this long to hear that it is over.
PATIENCE = 1.5
# Looks between two sweeps through listings and idle connections.
SWEEP_EVERY = 15


def steady_clock() -> Callable[[], float]:
    """Epoch seconds that never jump, whatever happens to the system's clock."""
    monotonic = time.monotonic
    offset = time.time() - monotonic()
    return lambda: offset + monotonic()


class Runtime:
    """The gateway at work: what a reload replaces (``config``, ``gateway``) and what outlives it (health, pools)."""

    def __init__(
        self,
        config: Config,
        emit: events.Observer | None,
        env: Mapping[str, str],
        path: str | None = None,
        given: Mapping[str, Any] = {},
        logging: Logging | None = None,
        told: bool = True,
    ) -> None:
        """``emit`` hears what telemetry hears. ``given``: settings of ``server`` that the command line has put in place
        of the file's. ``logging``: where none is given, no lines are written. ``told``: False for no telemetry at all.
        """
        self.clock = steady_clock()
        self.config, self._env, self._given = config, env, given
        self._observing = Observing(config, env, self.clock, self._vendor, logging)
        self.observability = self._observing.observability
        self.emit = events.broadcast([*([self.observability.hear] if told else ()), *([emit] if emit else ())])
        # A gateway that began with a file stays with it: without it the environment alone might open every door.
        self._path = config.source if os.path.isfile(config.source) else path
        self._stamp = _stamp(config.source)
        self._started = config
        self.upstream = Upstream({"simulator": Simulator()})
        self.health = Health(config.breaker_for, self._moved, config.spike_for, self._swung)
        self.listings = Listings()
        self.thoughts = Thoughts()
        self.store = store(config, self.clock, self.emit)
        self.pinned = Pinned(
            self.store,
            self.clock,
            self.emit,
            seconds=config.sessions.ttl,
            most=config.sessions.max,
            resolve=lambda name: self.planner.resolve(name),
        )
        self.media: Media | None = None
        self.evidence = Evidence()
        self.gateway, self.planner, self._world = self._compose(config, {})
        self.service = Service(
            gateway=self.gateway,
            doorkeeper=doorkeeper(config),
            local_only=config.access.mode == "open",
            catalogue=Offers(config, self.planner, self.listings, self.gateway),
            emit=self.emit,
            max_body=config.server.max_body,
            client_timeout=config.server.client_timeout,
            providers=self.providers,
            scores=self.scores,
            pins=self.pinned,
            # In memory they have a place of their own: what clients send a lot of must not drive out plans.
            responses=KeptResponses(
                in_memory(config, self.clock) if isinstance(self.store, MemoryStore) else self.store
            ),
            admin=admin(config),
            live=self.observability.live,
            metrics=self.observability.page,
            worker=logging.worker if logging else None,
            sample_ratio=self._observing.sample_ratio,
            feedback=self._observing.feedback,
            prompts=self._observing if self._observing.langfuse else None,
        )
        if config.server.workers > 1:
            self.service.metrics, self.service.metrics_elsewhere = None, elsewhere(config)
        self._cut = 0
        self.observability.readings = self._readings
        self.observability.learned = self.evidence.learn
        self._expect()

    def _compose(self, config: Config, before: Mapping[str, Provider]) -> tuple[Gateway, Planner, World]:
        """Everything is made before anything is put to work."""
        providers = {
            name: provider(
                name, each, config.vendors[each.vendor or name], before.get(name), config.observe.propagate_to
            )
            for name, each in config.providers.items()
        }
        book = PriceBook(config.observe.prices)
        planner = build_planner(config, providers, self.listings)
        world = World(
            latency=lambda target, stream: self.health.latency(target, stream, self.clock()),
            window=lambda target: self._window(providers, book, target),
            price=lambda target, read, written: self._price(providers, book, target, read, written),
            measured=lambda target, task: self.evidence.measured(target, task, self.clock()),
        )
        decider = Decider(planner, world, self.store, self.pinned.of, config.turns)
        gateway = Gateway(
            providers=providers,
            plan=decider.plan,
            keep=decider.keep,
            resilience=config.resilience_for,
            care=config.care_for,
            health=self.health,
            means=Means(
                upstream=self.upstream,
                clock=self.clock,
                cost=priced_once(
                    lambda target, usage: book.cost(target, providers[target.provider].vendor, usage, self.clock())
                ),
                thoughts=self.thoughts,
                media=self._media(config).fetch,
            ),
            emit=self.emit,
            clock=self.clock,
            sleep=asyncio.sleep,
            jitter=random.random,
            windows=world.window,
            content=config.observe.content != "off",
        )
        changed = [name for name, each in providers.items() if name in before and not same_place(each, before[name])]
        keys = {name: each.keys for name, each in providers.items()}
        self.health.adopt(config.breaker_for, keys, changed, config.spike_for)
        self.listings.adopt(providers)
        return gateway, planner, world

    def _media(self, config: Config) -> Media:
        """What was brought before a reload is still there after it, if the same may be brought."""
        settings = config.media
        made = Media(settings.download, settings.allow, settings.max_size, settings.timeout)
        if self.media is None or not made.same_as(self.media):
            self.media = made
        return self.media

    def _moved(self, moved: Moved) -> None:
        breaker, now = self.health.breaker(moved.target), self.clock()
        succeeded, failed = breaker.counts(now)
        self.emit(
            events.BreakerMoved(
                at=now,
                target=moved.target,
                before=moved.before.value,
                after=moved.after.value,
                succeeded=succeeded,
                failed=failed,
                open_for=breaker.settings.open_for if moved.after is State.OPEN else 0.0,
            )
        )

    def _swung(self, swing: Swing) -> None:
        of: dict[str, Any] = {"provider": swing.provider, "error_rate": swing.error_rate, "calls": swing.calls}
        if swing.demoted:
            hold = self.health.spikes()[swing.provider].hold
            self.emit(events.ProviderDemoted(at=self.clock(), **of, hold=hold))
        else:
            self.emit(events.ProviderRestored(at=self.clock(), **of, seconds=swing.lasted))

    def _window(self, providers: Mapping[str, Provider], prices: PriceBook, target: Target) -> int | None:
        """1. As configured. 2. As the vendor lists it. 3. As the price table has it. 4. As is known of the name."""
        provider = providers[target.provider]
        configured = provider.windows.get(target.model) or self.listings.window(target.provider, target.model)
        return configured or prices.window(target, provider.vendor) or abilities(target.model).window

    def _price(
        self, providers: Mapping[str, Provider], prices: PriceBook, target: Target, read: int, written: int
    ) -> float | None:
        usage = Usage(input_tokens=read, output_tokens=written)
        cost = prices.cost(target, providers[target.provider].vendor, usage, self.clock())
        return cost.usd if cost else None

    # Reload

    def reload(self) -> bool:
        """Reads the configuration again and puts it to work, whole or not at all. Requests under way keep theirs."""
        try:
            config = load(self._path, self._env)
            config = msgspec.structs.replace(config, server=msgspec.structs.replace(config.server, **self._given))
            self._refuse_empty_file()
            self._refuse_open_doors(config)
            keeper = doorkeeper(config)
            gateway, planner, world = self._compose(config, self.gateway.providers)
        except OperatorError as error:
            self.emit(events.ConfigRefused(at=self.clock(), source=self.config.source, problems=error.problems))
            return False
        except Exception as error:  # a file that vanished, a disk that fails: the old configuration goes on
            problem = Problem("", f"{type(error).__name__}: {error}")
            self.emit(events.ConfigRefused(at=self.clock(), source=self.config.source, problems=(problem,)))
            return False
        needs_restart = tuple(
            f"server.{name}"
            for name in ("host", "port", "workers", "metrics_port", "lane")
            if getattr(config.server, name) != getattr(self._started.server, name)
        ) + tuple(
            f"observe.{name}"
            for name in ("logs", "otlp", "langfuse")
            if getattr(config.observe, name) != getattr(self._started.observe, name)
        )
        if config.sessions != self._started.sessions:
            needs_restart += ("sessions",)
        self.config, self.gateway, self.planner, self._world = config, gateway, planner, world
        service = self.service
        service.gateway, service.doorkeeper = gateway, keeper
        service.local_only = config.access.mode == "open"
        service.catalogue = Offers(config, planner, self.listings, gateway)
        service.max_body, service.client_timeout = config.server.max_body, config.server.client_timeout
        service.admin = admin(config)
        self._observing.adopt(config)
        self._expect()
        self.emit(
            events.ConfigReloaded(
                at=self.clock(), source=config.source, needs_restart=needs_restart, digest=digest(config)
            )
        )
        self.listings.refresh(gateway)
        return True

    def _refuse_empty_file(self) -> None:
        """An editor or a full disk may leave nothing of a file; nobody means that."""
        if self._path and os.path.getsize(self._path) == 0:
            raise OperatorError([Problem("", f"{self._path} is empty", "remove what is in it section by section")])

    def _refuse_open_doors(self, config: Config) -> None:
        """The socket stays where it is, whatever the file says now: it must not be left open to the world."""
        if config.access.mode == "open" and not is_loopback(self._started.server.host):
            said = f"the gateway listens on {self._started.server.host}, and access would be open"
            raise OperatorError([Problem("access.mode", said, "set it to keys or trusted, or restart on loopback")])

    async def keep_house(self) -> None:
        """Looks at the file, at listings that are old and at connections that nobody uses, until it is cancelled."""
        rounds = 0
        while True:
            asked = self.clock()
            await asyncio.sleep(LOOK_EVERY)
            rounds += 1
            self.emit(events.LoopLooked(at=self.clock(), late=max(0.0, self.clock() - asked - LOOK_EVERY)))
            try:
                await self._look()
                if rounds % SWEEP_EVERY == 0:
                    self.pinned.sweep()
                    self.listings.refresh(self.gateway)
                    await self.upstream.sweep()
            except Exception:  # a defect of ours; the house is kept all the same
                crashed = traceback.format_exc()
                self.emit(events.HandlerCrashed(at=self.clock(), exchange_id="housekeeping", traceback=crashed))

    async def _look(self) -> None:
        """Reloads when the file has changed and has come to rest: one that is being written is left alone."""
        stamp = _stamp(self.config.source)
        if stamp is None or stamp == self._stamp:
            return
        await asyncio.sleep(LOOK_EVERY / 2)
        if _stamp(self.config.source) == stamp:
            self._stamp = stamp
            self.reload()

    # Drain

    def drain(self) -> None:
        """From now on not ready, and nothing new is taken in; what has not been read in full yet is new."""
        if not self.service.draining:
            self.service.draining = True
            self.emit(events.DrainStarted(at=self.clock(), running=len(self.service.running)))
            for running in list(self.service.running):
                running.refuse_unread()
            self._cut_watchers()

    async def emptied(self, seconds: float) -> None:
        """Waits until nothing is running any more, but not longer than this."""
        self.service.empty.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                if self.service.running:
                    await self.service.empty.wait()

    def cut(self) -> None:
        """Ends what is still running; the clients are told, those at least that still listen."""
        self._cut += len(self.service.running)
        for running in list(self.service.running):
            running.cut()
        asyncio.get_running_loop().call_later(PATIENCE, self._leave)

    def _cut_watchers(self) -> None:
        """Whoever watches the live view is not waited for."""
        for watching in list(self.service.watching):
            watching.cut()

    def _leave(self) -> None:
        for running in list(self.service.running):
            running.leave()

    def warm(self) -> None:
        """Has threads import and read what the first requests would wait for."""
        asyncio.get_running_loop().run_in_executor(None, prices.load)
        self._observing.warm()

    async def stop(self) -> None:
        """The last act: what telemetry still holds is delivered, as far as that is possible in time."""
        await self.listings.close()
        await self.upstream.close()
        await self.store.close()
        self.emit(events.GatewayStopped(at=self.clock(), cut=self._cut))
        self.observability.settle()
        await asyncio.to_thread(self.observability.close, FLUSH)

    # For telemetry

    def _vendor(self, provider: str) -> str:
        found = self.gateway.providers.get(provider)
        return found.vendor.name if found else provider

    def _expect(self) -> None:
        """The names of this configuration: their series are there from the start."""
        config = self.config
        targets = {
            Target(provider, model)
            for each in config.models.values()
            for provider, _, model in (reference.partition("/") for reference in each.strategy.references())
            if model and provider in config.providers
        } | {Target(name, model) for name, each in config.providers.items() for model in declared(each)}
        self.observability.known = Known(
            model=lambda name: name in config.models,
            target=lambda target: (
                target in targets or target.model in self.listings.ids.get(target.provider, frozenset())
            ),
        )
        self.observability.metrics.expect(config.models, targets, tuple(FRONTS))

    def _readings(self) -> Iterator[Reading]:
        """What has a value at any time, and is looked up when somebody asks."""
        now = self.clock()
        for target, breaker in self.health.breakers().items():
            names = self.observability.metrics.names(target)
            if names[1] == UNKNOWN:
                continue
            succeeded, failed = breaker.counts(now)
            window = span_of(breaker.settings.window)
            yield Reading(families.BREAKER_STATE, names, BREAKER[breaker.state.value])
            yield Reading(families.TARGET_ERROR_RATIO, (*names, window), failed / max(1, succeeded + failed))
        spikes = self.health.spikes()
        for name in self.gateway.providers:
            demoted = name in spikes and spikes[name].demoted_at is not None
            yield Reading(families.PROVIDER_DEMOTED, (name,), float(demoted))
        counts = self.upstream.connections()
        for name, each in self.gateway.providers.items():
            active, idle = counts.get(origin_of(each.routes.base), (0, 0))
            yield Reading(families.CONNECTIONS, (name, "active"), active)
            yield Reading(families.CONNECTIONS, (name, "idle"), idle)

    # For operators

    def _spike(self, provider: str, now: float) -> Mapping[str, Any]:
        """``seconds``: how long it has been demoted; the counts are those of its trials then, else of the window."""
        spike = self.health.spikes().get(provider)
        if spike is None:
            return {"demoted": False, "succeeded": 0, "failed": 0}
        succeeded, failed = spike.counts(now)
        counts = {"demoted": spike.demoted_at is not None, "succeeded": succeeded, "failed": failed}
        if spike.demoted_at is None:
            return counts
        return {**counts, "why": spike.why, "seconds": round(now - spike.demoted_at, 1)}

    def scores(self) -> list[dict[str, Any]]:
        """Of every configured model, with all that was learned up to now."""
        self.observability.settle()
        return scores(self.planner, self._world.senses(stream=True), self.config.models)

    def providers(self) -> Mapping[str, Any]:
        now = self.clock()
        return {
            name: {
                "vendor": each.vendor.name,
                "urls": {operation: shown_url(url) for operation, url in sorted(each.urls.items())},
                "keys": self.health.keys(name).states(now),
                "spike": self._spike(name, now),
                "targets": {
                    str(target): {
                        "breaker": breaker.state.value,
                        "succeeded": breaker.counts(now)[0],
                        "failed": breaker.counts(now)[1],
                    }
                    for target, breaker in self.health.breakers().items()
                    if target.provider == name
                },
            }
            for name, each in self.gateway.providers.items()
        }


def _stamp(path: str) -> tuple[float, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime, found.st_size, found.st_ino


def build_planner(config: Config, providers: Mapping[str, Provider], listings: Listings) -> Planner:
    owners = {
        name: Owner(
            operations=each.operations,  # type: ignore[arg-type]
            owns=(*each.vendor.owns, *map(glob.escape, declared(config.providers[name]))),
        )
        for name, each in providers.items()
    }
    models = {name: Entry(model.kind, model.strategy) for name, model in config.models.items()}
    return Planner(models, config.aliases, owners, listings.ids)


def in_memory(config: Config, clock: Callable[[], float]) -> MemoryStore:
    return MemoryStore(clock, config.sessions.ttl, config.sessions.max)


def store(config: Config, clock: Callable[[], float], emit: events.Observer) -> Store:
    settings = config.sessions
    if settings.store == "memory" or settings.url is None:
        return in_memory(config, clock)
    # Imported by whoever has it: the package is optional.
    from gateway.stores.redis import RedisStore

    return RedisStore(
        settings.url,
        clock=clock,
        emit=emit,
        seconds=settings.ttl,
        most=settings.max,
        timeout=settings.timeout,
        prefix=settings.prefix,
    )


def declared(settings: ProviderSettings) -> tuple[str, ...]:
    """The model ids a provider's settings name."""
    return (*settings.models, *settings.deployments)


def doorkeeper(config: Config) -> Doorkeeper:
    keys = [(Caller(each.name, each.models), each.key) for each in config.access.keys]
    return Doorkeeper(keys, required=config.access.mode == "keys")


def admin(config: Config) -> Doorkeeper:
    """Lets in whoever has the administrator's key, from anywhere."""
    key = config.access.admin_key
    return Doorkeeper([(Caller("admin", None), key)] if key else [], required=True)


def elsewhere(config: Config) -> str:
    """Where the metrics of several workers are."""
    server = config.server
    if server.metrics_port is None:
        return f"each of the {server.workers} workers has metrics of its own: set server.metrics_port to scrape them"
    first = server.metrics_port
    return f"each worker has metrics of its own, at the ports {first} to {first + server.workers - 1}"


def digest(config: Config) -> str:
    """Tells one configuration from another; secrets are dots in it."""
    parts = (config.server, config.providers, config.models, config.aliases, config.resilience, config.observe)
    rest = (config.access, config.media, config.custom, config.sessions, config.turns)
    return hashlib.sha256(repr((parts, rest)).encode()).hexdigest()[:12]


def span_of(seconds: float) -> str:
    return f"{seconds / 60:g}m" if seconds >= 60 else f"{seconds:g}s"


def build_app(runtime: Runtime) -> Inbound:
    """The ASGI application."""

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        house = asyncio.get_running_loop().create_task(runtime.keep_house())
        runtime.warm()
        runtime.store.start()
        runtime.listings.refresh(runtime.gateway)
        try:
            yield
        finally:
            house.cancel()
            await runtime.stop()

    return Inbound(build_routes(runtime.service, [lifespan]), runtime.service)


def protocol(config: Config, app: Inbound) -> Any:
    """What makes the protocol of each connection, for uvicorn."""
    return Lanes(app.hot) if config.server.lane == "on" else BoundedProtocol
