"""The composition root: Config -> Gateway -> Litestar. The one file that knows everyone."""

from __future__ import annotations

import asyncio
import glob
import os
import random
import time
import traceback
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from litestar import Litestar

from gateway import events
from gateway.access.keys import Caller, Doorkeeper
from gateway.api.inbound import Inbound
from gateway.api.routes import build_routes
from gateway.api.service import Service
from gateway.attempt import Exchange, Provider
from gateway.catalogue import Offers
from gateway.chat import Facts
from gateway.config import Config, load
from gateway.config import Provider as ProviderSettings
from gateway.config.checking import is_loopback
from gateway.credentials import Credential, EntraCredential, KeyCredential, TokenCredential
from gateway.errors import OperatorError, Problem
from gateway.listings import Listings
from gateway.relay import Gateway
from gateway.resilience.health import Health, Moved
from gateway.resilience.keys import Keys
from gateway.routing import Latency, Plan, Target
from gateway.routing.planner import Entry, Owner, Planner, Senses
from gateway.simulator import Simulator
from gateway.upstream import Upstream, shown_url
from gateway.vendors import VENDORS, routes

# How often the configuration file is looked at, in seconds.
LOOK_EVERY = 1.0
# A client that takes no more has this long to hear that it is over.
PATIENCE = 1.5
# Looks between two sweeps through listings and idle connections.
SWEEP_EVERY = 15


class SteadyClock:
    """Epoch seconds that never jump, whatever happens to the system's clock."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def __call__(self) -> float:
        return self._offset + time.monotonic()


class Runtime:
    """The gateway at work: what a reload replaces (``config``, ``gateway``) and what outlives it (health, pools)."""

    def __init__(
        self,
        config: Config,
        emit: events.Observer,
        env: Mapping[str, str],
        path: str | None = None,
        given: Mapping[str, Any] = {},
    ) -> None:
        """``given``: settings of ``server`` that the command line has put in place of the file's."""
        self.config, self.emit, self._env, self._given = config, emit, env, given
        # A gateway that began with a file stays with it: without it the environment alone might open every door.
        self._path = config.source if os.path.isfile(config.source) else path
        self._stamp = _stamp(config.source)
        self._started = config.server
        self.clock = SteadyClock()
        self.upstream = Upstream({"simulator": Simulator()})
        self.health = Health(config.breaker_for, self._moved)
        self.listings = Listings()
        self.gateway, self.planner = self._compose(config, {})
        self.service = Service(
            gateway=self.gateway,
            doorkeeper=doorkeeper(config),
            local_only=config.access.mode == "open",
            catalogue=Offers(config, self.planner, self.listings, self.gateway),
            emit=emit,
            max_body=config.server.max_body,
            client_timeout=config.server.client_timeout,
            providers=self.providers,
        )

    def _compose(self, config: Config, before: Mapping[str, Provider]) -> tuple[Gateway, Planner]:
        """Everything is made before anything is put to work."""
        providers = {name: provider(name, each, before.get(name)) for name, each in config.providers.items()}
        planner = build_planner(config, providers, self.listings)
        gateway = Gateway(
            providers=providers,
            plan=lambda exchange, facts: self._plan(planner, exchange, facts),
            resilience=config.resilience_for,
            health=self.health,
            upstream=self.upstream,
            emit=self.emit,
            clock=self.clock,
            sleep=asyncio.sleep,
            jitter=random.random,
            windows=lambda target: self._window(providers, target),
        )
        changed = [name for name, each in providers.items() if name in before and not same_place(each, before[name])]
        self.health.adopt(config.breaker_for, {name: each.keys for name, each in providers.items()}, changed)
        self.listings.adopt(providers)
        return gateway, planner

    def _moved(self, moved: Moved) -> None:
        self.emit(
            events.BreakerMoved(
                at=self.clock(), target=moved.target, before=moved.before.value, after=moved.after.value
            )
        )

    def _plan(self, planner: Planner, exchange: Exchange, facts: Facts) -> Plan:
        def latency(target: Target) -> Latency | None:
            return self.health.latency(target, facts.stream, self.clock())

        senses = Senses(latency=latency, chance=random.random, turns=lambda: exchange.dialect.turns(exchange.body))
        return planner.plan(facts, senses, no_fallback=exchange.no_fallback)

    def _window(self, providers: Mapping[str, Provider], target: Target) -> int | None:
        configured = providers[target.provider].windows.get(target.model)
        return configured or self.listings.window(target.provider, target.model)

    # Reload

    def reload(self) -> bool:
        """Reads the configuration again and puts it to work, whole or not at all. Requests under way keep theirs."""
        try:
            config = load(self._path, self._env)
            config = msgspec.structs.replace(config, server=msgspec.structs.replace(config.server, **self._given))
            self._refuse_empty_file()
            self._refuse_open_doors(config)
            keeper = doorkeeper(config)
            gateway, planner = self._compose(config, self.gateway.providers)
        except OperatorError as error:
            self.emit(events.ConfigRefused(at=self.clock(), source=self.config.source, problems=error.problems))
            return False
        except Exception as error:  # a file that vanished, a disk that fails: the old configuration goes on
            problem = Problem("", f"{type(error).__name__}: {error}")
            self.emit(events.ConfigRefused(at=self.clock(), source=self.config.source, problems=(problem,)))
            return False
        needs_restart = tuple(
            f"server.{name}"
            for name in ("host", "port", "workers", "metrics_port")
            if getattr(config.server, name) != getattr(self._started, name)
        )
        self.config, self.gateway, self.planner = config, gateway, planner
        service = self.service
        service.gateway, service.doorkeeper = gateway, keeper
        service.local_only = config.access.mode == "open"
        service.catalogue = Offers(config, planner, self.listings, gateway)
        service.max_body, service.client_timeout = config.server.max_body, config.server.client_timeout
        self.emit(events.ConfigReloaded(at=self.clock(), source=config.source, needs_restart=needs_restart))
        self.listings.refresh(gateway)
        return True

    def _refuse_empty_file(self) -> None:
        """An editor or a full disk may leave nothing of a file; nobody means that."""
        if self._path and os.path.getsize(self._path) == 0:
            raise OperatorError([Problem("", f"{self._path} is empty", "remove what is in it section by section")])

    def _refuse_open_doors(self, config: Config) -> None:
        """The socket stays where it is, whatever the file says now: it must not be left open to the world."""
        if config.access.mode == "open" and not is_loopback(self._started.host):
            said = f"the gateway listens on {self._started.host}, and access would be open"
            raise OperatorError([Problem("access.mode", said, "set it to keys or trusted, or restart on loopback")])

    async def keep_house(self) -> None:
        """Looks at the file, at listings that are old and at connections that nobody uses, until it is cancelled."""
        rounds = 0
        while True:
            await asyncio.sleep(LOOK_EVERY)
            rounds += 1
            try:
                await self._look()
                if rounds % SWEEP_EVERY == 0:
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

    async def emptied(self, seconds: float) -> None:
        """Waits until nothing is running any more, but not longer than this."""
        tasks = [running.task for running in self.service.running if running.task]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)

    def cut(self) -> None:
        """Ends what is still running; the clients are told, those at least that still listen."""
        for running in list(self.service.running):
            running.cut()
        asyncio.get_running_loop().call_later(PATIENCE, self._leave)

    def _leave(self) -> None:
        for running in list(self.service.running):
            if running.task:
                running.task.cancel()

    # For operators

    def providers(self) -> Mapping[str, Any]:
        now = self.clock()
        return {
            name: {
                "vendor": each.vendor.name,
                "urls": {operation: shown_url(each.routes.url(operation)) for operation in each.routes.urls},
                "keys": self.health.keys(name).states(now),
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


def provider(name: str, settings: ProviderSettings, before: Provider | None = None) -> Provider:
    """An account ready to be called; its keys know what they knew before a reload, if it is still the same place."""
    vendor = VENDORS[settings.vendor or name]
    made = Provider(
        name=name,
        vendor=vendor,
        routes=routes(vendor, settings.account),
        credential=credential(settings, vendor.auth),
        keys=Keys(settings.keys),
        headers=tuple((name.lower(), value) for name, value in (*vendor.headers.items(), *settings.headers.items())),
        secrets=tuple(settings.headers.values()),
        windows=settings.windows,
    )
    if before is None or not same_place(made, before):
        return made
    return msgspec.structs.replace(made, keys=Keys(settings.keys, before.keys))


def same_place(one: Provider, other: Provider) -> bool:
    return one.vendor is other.vendor and one.routes.base == other.routes.base


def credential(settings: ProviderSettings, auth: Any) -> Credential:
    if settings.ad_token:
        return TokenCredential(settings.ad_token)
    return EntraCredential() if settings.credential else KeyCredential(auth)


def build_planner(config: Config, providers: Mapping[str, Provider], listings: Listings) -> Planner:
    owners = {
        name: Owner(
            operations=frozenset(each.routes.urls),  # type: ignore[arg-type]
            owns=(*each.vendor.owns, *map(glob.escape, declared(config.providers[name]))),
        )
        for name, each in providers.items()
    }
    models = {name: Entry(model.kind, model.strategy) for name, model in config.models.items()}
    return Planner(models, config.aliases, owners, listings.ids)


def declared(settings: ProviderSettings) -> tuple[str, ...]:
    """The model ids a provider's settings name."""
    return (*settings.models, *settings.deployments)


def doorkeeper(config: Config) -> Doorkeeper:
    keys = [(Caller(each.name, each.models), each.key) for each in config.access.keys]
    return Doorkeeper(keys, required=config.access.mode == "keys")


def build_app(runtime: Runtime) -> Inbound:
    """The ASGI application."""

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        house = asyncio.get_running_loop().create_task(runtime.keep_house())
        runtime.listings.refresh(runtime.gateway)
        try:
            yield
        finally:
            house.cancel()
            await runtime.listings.close()
            await runtime.upstream.close()

    return Inbound(build_routes(runtime.service, [lifespan]), runtime.service)
