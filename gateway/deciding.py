"""From a request to its plan: who chose the model, what is known of its session, what strategies may ask."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from gateway.attempt import Exchange
from gateway.chat import Facts
from gateway.dialects.words import SHIPPED, Words
from gateway.errors import CallerError
from gateway.routing import Latency, Measured, Place, Plan, Target
from gateway.routing.pins import Pin, pins_of
from gateway.routing.planner import Planner, Senses
from gateway.routing.turns import NOTHING, Reading, read
from gateway.stores import Store


class World(msgspec.Struct, frozen=True, kw_only=True):
    """What strategies may ask, whatever the request is."""

    latency: Callable[[Target, bool], Latency | None]
    """Of streams (True) or of whole answers."""
    window: Callable[[Target], int | None]
    price: Callable[[Target, int, int], float | None]
    measured: Callable[[Target, str], Measured] = lambda target, task: Measured()
    chance: Callable[[], float] = random.random

    def senses(
        self, *, stream: bool, reading: Callable[[], Reading] = lambda: NOTHING, remembered: Mapping[str, Any] = {}
    ) -> Senses:
        """As one request's strategies perceive it."""
        return Senses(
            latency=lambda target: self.latency(target, stream),
            chance=self.chance,
            reading=reading,
            window=self.window,
            price=self.price,
            measured=self.measured,
            remembered=remembered,
        )


class Decider:
    """One configuration's plans. The same request gives the same plan wherever a strategy asks for no chance."""

    def __init__(
        self,
        planner: Planner,
        world: World,
        store: Store,
        pinned: Callable[[str], str | None],
        words: Words = SHIPPED,
    ) -> None:
        """``pinned``: the model an operator has set for a session. ``words``: how conversations are read."""
        self._planner, self._world, self._store, self._pinned = planner, world, store, pinned
        self._words = words

    async def plan(self, exchange: Exchange, facts: Facts) -> Plan:
        """Raises ``CallerError``: 403 for a model the caller may not use, 404 for one that is not there.

        Waits for nothing but the store, and for that only where a strategy keeps something of the conversation.
        """
        if exchange.deployment:
            facts = msgspec.structs.replace(facts, model=exchange.deployment)
        fixed = self._planner.fixed(facts.model, facts.operation)
        if fixed and self._is_plain(exchange, facts) and exchange.allowed(facts.model, fixed.model):
            return fixed
        return await self._decided(exchange, facts)

    def _is_plain(self, exchange: Exchange, facts: Facts) -> bool:
        """Nobody can have chosen by hand, and no more is asked for than a model."""
        by_hand = exchange.pin or (exchange.session and self._pinned(exchange.session)) or _may_choose(exchange, facts)
        return not (by_hand or exchange.no_fallback)

    async def _decided(self, exchange: Exchange, facts: Facts) -> Plan:
        reading = _once(exchange, self._words)
        passed_over: list[str] = []
        for pin in self._pins(exchange, facts, reading):
            try:
                plan = await self._planned(exchange, facts, reading, pin)
            except CallerError as error:
                if not pin.passes(error):
                    raise _refusal(exchange, pin.model, error, pin) from None
                passed_over.append(f"{pin.by}: passed over, {error.code}")
            else:
                return _telling(plan, passed_over)
        try:
            return _telling(await self._planned(exchange, facts, reading, None), passed_over)
        except CallerError as error:
            raise _refusal(exchange, facts.model, error, None) from None

    def _pins(self, exchange: Exchange, facts: Facts, reading: Callable[[], Reading]) -> Iterator[Pin]:
        by_operator = self._pinned(exchange.session) if exchange.session else None
        return pins_of(exchange.pin, by_operator, reading if _may_choose(exchange, facts) else None)

    async def _planned(self, exchange: Exchange, facts: Facts, reading: Callable[[], Reading], pin: Pin | None) -> Plan:
        name = pin.model if pin else facts.model
        model = self._planner.resolve(name).name
        if not exchange.allowed(name, model):
            raise _forbidden(name)
        place, remembered, inherited = await self._remembered(exchange, facts, model, reading)
        senses = self._world.senses(stream=facts.stream, reading=reading, remembered=remembered)
        plan = self._planner.plan(facts, senses, pin=pin, no_fallback=exchange.no_fallback)
        if place is None:
            return plan
        # What a summarised conversation has found of the one before it is its own from now on.
        remember = {**remembered, **(plan.remember or {})} if inherited else plan.remember
        return msgspec.structs.replace(plan, memory=place, remember=remember)

    async def _remembered(
        self, exchange: Exchange, facts: Facts, model: str, reading: Callable[[], Reading]
    ) -> tuple[Place | None, Mapping[str, Any], bool]:
        """Where what is kept of the conversation lies, what is kept, and whether it was kept of the one before it.

        A summary changes how a conversation begins: it goes on with what was kept of the session's last one.
        """
        models = self._planner.remembering(model)
        place = _place(exchange, facts, model, reading()) if models else None
        if place is None:
            return None, {}, False
        kept = await self._kept(place.key, models)
        inherits = not kept and bool(place.last) and reading().compacted
        if inherits and (last := await self._store.get(place.last)):
            kept = await self._kept(_key(place.last, last.decode(errors="replace")), models)
        return place, kept, inherits and bool(kept)

    async def _kept(self, conversation: str, models: tuple[str, ...]) -> dict[str, Any]:
        """What is kept there of each of the models, as far as it can be had.

        Each has an entry of its own: where one cannot be had now, what others keep does not overwrite it.
        """
        found = await self._store.several([_key(conversation, model) for model in models])
        kept: dict[str, Any] = {}
        for model, value in zip(models, found, strict=True):
            # Whatever lies there: others may write to the store, too.
            with suppress(ValueError, RecursionError):
                if value is not None:
                    kept[model] = msgspec.json.decode(value, type=dict[str, Any])
        return kept

    def keep(self, place: Place, value: Mapping[str, Any] | None) -> None:
        """What ``remembered`` says of these models in that conversation from now on; of others, what it said before."""
        for model, own in (value or {}).items():
            self._store.put(_key(place.key, model), msgspec.json.encode(own))
        if place.last:
            self._store.put(place.last, place.conversation.encode())


def _may_choose(exchange: Exchange, facts: Facts) -> bool:
    """Nobody reads a conversation in which these bytes are not; a slash that JSON has escaped ends like any other."""
    # From the end, where a slash is looked for: three times as quick as from the beginning, by the blank behind it.
    return facts.operation == "chat" and exchange.body.rfind(b"/model ") >= 0


def _place(exchange: Exchange, facts: Facts, model: str, reading: Reading) -> Place | None:
    """1. A session the client names may hold several. 2. Others are known by how they begin. 3. Or not at all.

    Calls on the side, sub-agents and requests for a plan are not what a session goes on with after a summary.
    """
    session, origin = exchange.session, reading.origin
    if session is not None and session != f"{exchange.caller}:{facts.user}":
        last = f"{session}\0{model}"
        goes_on = bool(origin) and reading.kind == "main" and not reading.planning
        return Place(key=_key(last, origin), conversation=origin, last=last if goes_on else "")
    if origin:
        # One user, or one key, has many; of those that begin with the same words the system's may differ.
        whose = session or f"\0{exchange.caller}"
        return Place(key=_key(f"{whose}\0{model}", f"{origin}\0{reading.setting}"), conversation=origin)
    return None


def _key(of: str, conversation: str) -> str:
    return f"{of}\0{conversation}"


def _once(exchange: Exchange, words: Words) -> Callable[[], Reading]:
    found: list[Reading] = []

    def reading() -> Reading:
        if not found:
            found.append(_read(exchange, words))
        return found[0]

    return reading


def _read(exchange: Exchange, words: Words) -> Reading:
    conversation = exchange.dialect.conversation(exchange.body)
    return read(conversation, words, subagent=exchange.subagent, aside=exchange.aside)


def _telling(plan: Plan, passed_over: list[str]) -> Plan:
    return msgspec.structs.replace(plan, evidence=(*passed_over, *plan.evidence)) if passed_over else plan


def _refusal(exchange: Exchange, name: str, error: CallerError, pin: Pin | None) -> CallerError:
    """As the caller is told: also how the model was chosen, if not by the request."""
    if exchange.restricted and error.status == 404:
        # Whoever is restricted learns of nothing but what it may use.
        error = _forbidden(name)
    if pin and pin.by == "/model":
        error.message = f"/model {name}: {error.message}"
    elif pin and pin.by == "admin":
        error.message = "an operator has set a model for this session that this key may not use"
    return error


def _forbidden(name: str) -> CallerError:
    return CallerError(
        403,
        "model_not_allowed",
        f'this key may not use model "{name}"',
        type="permission_error",
        param="model",
        origin="gateway",
    )
