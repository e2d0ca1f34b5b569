"""From the model a client names to a plan: names are resolved, the strategy orders, what cannot serve is left out."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Container, Iterable, Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, TypeVar, get_args

import msgspec

from gateway.chat import LONGEST_NAME, Facts, Operation
from gateway.errors import CallerError, nearest
from gateway.routing import (
    Candidate,
    Consult,
    Crash,
    Fleet,
    Latency,
    LeftOut,
    Measured,
    Ordered,
    Plan,
    Role,
    Strategy,
    Target,
    joined,
)
from gateway.routing.pins import Pin
from gateway.routing.turns import NOTHING, Reading

K = TypeVar("K")
V = TypeVar("V")

CATCH_ALL = "*"

# Names come from clients: so many are known at once. With one more all are forgotten: each is looked up once more.
MOST_KEPT = 4096


class Entry(msgspec.Struct, frozen=True):
    """A configured model: the name of its strategy, and the strategy."""

    kind: str
    strategy: Strategy


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """What routing knows of a provider."""

    operations: frozenset[Operation]
    owns: tuple[str, ...] = ()
    """Globs of bare model ids that are its own, its declared models among them."""


class Senses(msgspec.Struct, frozen=True, kw_only=True):
    """What strategies may perceive, passed in. Each is asked only by a strategy that wants to know."""

    latency: Callable[[Target], Latency | None]
    chance: Callable[[], float]
    reading: Callable[[], Reading] = lambda: NOTHING
    """Reads at the first call and gives the same from then on."""
    window: Callable[[Target], int | None] = lambda target: None
    price: Callable[[Target, int, int], float | None] = lambda target, input_tokens, output_tokens: None
    measured: Callable[[Target, str], Measured] = lambda target, task: Measured()
    remembered: Mapping[str, Any] = {}
    """What is kept of the conversation: of each model by name."""


# Of those that ask nothing.
UNASKED = Senses(latency=lambda target: None, chance=lambda: 0.0)


class Resolved(msgspec.Struct, frozen=True):
    """A configured model by name, or a target; and how it was found."""

    name: str
    target: Target | None
    by: str


def like(name: str, glob: str) -> bool:
    """Does an alias's glob mean the name? It knows ``*`` and ``?`` only: model ids may hold brackets."""
    return fnmatchcase(name, glob.replace("[", "[[]"))


class Planner:
    """Pure: the same facts and senses give the same plan. ``listings`` is read live (provider -> model ids).

    ``models``, ``aliases`` and ``owners`` stay as they are: what depends on nothing else is worked out once.
    """

    def __init__(
        self,
        models: Mapping[str, Entry],
        aliases: Mapping[str, str],
        owners: Mapping[str, Owner],
        listings: Mapping[str, frozenset[str]],
    ) -> None:
        self.models, self.aliases, self.owners, self.listings = models, aliases, owners, listings
        self._remember: dict[str, tuple[str, ...]] = {}
        self._forget()

    def _forget(self) -> None:
        """What is kept holds for these listings."""
        self._listed = dict(self.listings)
        self._resolved: dict[str, Resolved] = {}
        self._orders: dict[str, Ordered | None] = {}
        self._plans: dict[tuple[str, Operation], Plan | None] = {}

    # Names

    def resolve(self, name: str) -> Resolved:
        """Model > alias > ``provider/model`` > the one owner of a bare id > ``*``. Raises ``CallerError``."""
        if self._listed != self.listings:
            self._forget()
        return self._resolved.get(name) or _kept(self._resolved, name, self._looked_up(name))

    def _looked_up(self, name: str) -> Resolved:
        if len(name) > LONGEST_NAME:
            said = f"a model's name has at most {LONGEST_NAME} characters, this one has {len(name)}"
            raise CallerError(400, "invalid_model", said, param="model")
        found = self._known(name) or self._aliased(name) or self._direct(name) or self._owned(name) or self._any()
        if found is None:
            raise self._unknown(name)
        return found

    def _known(self, name: str) -> Resolved | None:
        return Resolved(name, None, "a configured model") if name in self.models and name != CATCH_ALL else None

    def _aliased(self, name: str) -> Resolved | None:
        """Aliases lead straight to a configured model or a target, never to another alias: exact names before globs."""
        globs = (aim for glob, aim in self.aliases.items() if like(name, glob))
        aim = self.aliases.get(name) or next(globs, None)
        found = aim and (self._known(aim) or self._direct(aim) or (self._any() if aim == CATCH_ALL else None))
        return msgspec.structs.replace(found, by=f"alias of {aim}") if found else None

    def _any(self) -> Resolved | None:
        return Resolved(CATCH_ALL, None, "the catch-all model") if CATCH_ALL in self.models else None

    def _direct(self, name: str) -> Resolved | None:
        provider, _, model = name.partition("/")
        if model and provider in self.owners:
            return Resolved(name, Target(provider, model), "provider/model")
        return None

    def _owned(self, name: str) -> Resolved | None:
        by_pattern = [
            each for each, owner in self.owners.items() if any(fnmatchcase(name, glob) for glob in owner.owns)
        ]
        by_listing = [each for each, listed in self.listings.items() if name in listed and each in self.owners]
        for owners, how in ((by_pattern, "its vendor's names"), (by_listing, "its listing")):
            if len(owners) == 1:
                return Resolved(f"{owners[0]}/{name}", Target(owners[0], name), f"{owners[0]} owns it by {how}")
        return None

    def _unknown(self, name: str) -> CallerError:
        known = dict.fromkeys(
            [
                *(model for model in self.models if model != CATCH_ALL),
                *(alias for alias in self.aliases if "*" not in alias),
                *(f"{provider}/{model}" for provider, listed in self.listings.items() for model in listed),
            ]
        )
        near = nearest(name, known, 3) or list(known)[:3]
        hint = f"; the nearest are {', '.join(near)}" if near else ""
        several = [each for each, owner in self.owners.items() if any(fnmatchcase(name, glob) for glob in owner.owns)]
        if len(several) > 1:
            hint = f"; several providers own that name, say which: {', '.join(f'{each}/{name}' for each in several)}"
        return CallerError(
            404, "model_not_found", f'there is no model "{name}" here{hint}', param="model", origin="gateway"
        )

    # Plans

    def remembering(self, name: str) -> tuple[str, ...]:
        """The models behind that name whose strategies keep something of their sessions, each once. Raises
        ``CallerError`` (404) for the name itself; behind it, one that leads nowhere keeps nothing."""
        if name not in self.models:
            return self._remembering(name)
        # Asked with every request; listings change only which targets there are, and targets keep nothing.
        if name not in self._remember:
            self._remember[name] = self._remembering(name)
        return self._remember[name]

    def _remembering(self, name: str) -> tuple[str, ...]:
        return tuple(each for each in self._behind(name) if getattr(self.models[each].strategy, "REMEMBERS", False))

    def _behind(self, name: str) -> Iterable[str]:
        """The models that have a say where that name is asked for, each once. Raises ``CallerError``."""
        found: dict[str, None] = {}
        waiting = [self.resolve(name)]
        while waiting:
            resolved = waiting.pop()
            if resolved.target is not None or resolved.name in found:
                continue
            found[resolved.name] = None
            for reference in self.models[resolved.name].strategy.references():
                with suppress(CallerError):
                    waiting.append(self.resolve(reference))
        return found

    def view(self, senses: Senses, reading: Reading) -> Fleet:
        """The fleet as a strategy sees it, for a conversation that is given."""
        return _View(self, msgspec.structs.replace(senses, reading=lambda: reading))

    def plan(self, facts: Facts, senses: Senses, *, pin: Pin | None = None, no_fallback: bool = False) -> Plan:
        """Raises ``CallerError``: 404 for an unknown model, 400 when no target has the operation."""
        asked = pin.model if pin else facts.model
        plan = self.fixed(asked, facts.operation)
        if plan is None:
            view = _View(self, senses)
            plan = self._able(self._told(asked, view.ordered(asked, facts), view), facts.operation)
        if pin:
            plan = msgspec.structs.replace(plan, pinned=pin.by, reason=f"pinned by {pin.by}; {plan.reason}")
        if no_fallback:
            rest = tuple(LeftOut(target, "x-skein-no-fallback") for target in plan.targets[1:])
            plan = msgspec.structs.replace(plan, targets=plan.targets[:1], left_out=(*plan.left_out, *rest))
        return self._advised(plan, 1 if no_fallback else None)

    def fixed(self, name: str, operation: Operation) -> Plan | None:
        """The plan of a name that has the same one for all requests, made once; None where it depends on more."""
        if self._listed != self.listings:
            self._forget()
        key = name, operation
        if key in self._plans:
            return self._plans[key]
        if len(name) > LONGEST_NAME:
            return None
        return _kept(self._plans, key, self._fixed(name, operation))

    def _fixed(self, name: str, operation: Operation) -> Plan | None:
        with suppress(CallerError):
            if ordered := self.fixed_order(name):
                return self._able(self._told(name, ordered, _View(self, UNASKED)), operation)
        return None

    def fixed_order(self, reference: str) -> Ordered | None:
        """What a target, or a model whose strategies are ``FIXED``, says to all requests. Raises ``CallerError``."""
        if self._listed != self.listings:
            self._forget()
        if reference in self._orders:
            return self._orders[reference]
        return _kept(self._orders, reference, self._fixed_order(reference))

    def _fixed_order(self, reference: str) -> Ordered | None:
        resolved = self.resolve(reference)
        if resolved.target is not None:
            return Ordered(targets=(resolved.target,), reason=resolved.by, rule="direct")
        if not all(getattr(self.models[each].strategy, "FIXED", False) for each in self._behind(reference)):
            return None
        view = _View(self, UNASKED)
        ordered = view.asked(resolved.name, Facts(model=reference))
        # Every request that meets a crash tells of it.
        return None if view.crashes else ordered

    def _advised(self, plan: Plan, most: int | None) -> Plan:
        """The plan with only those planners asked that can chat; with none of them, nobody is."""
        if plan.consult is None:
            return plan
        able = [target for target in plan.consult.targets if "chat" in self.owners[target.provider].operations]
        consult = msgspec.structs.replace(plan.consult, targets=tuple(able[:most])) if able else None
        return msgspec.structs.replace(plan, consult=consult)

    def _told(self, asked: str, ordered: Ordered, view: _View) -> Plan:
        """The plan, in the words of the strategy that was asked for it."""
        resolved = self.resolve(asked)
        # What nobody has read is not read for the record's sake.
        reading = view.read
        return Plan(
            model=resolved.name,
            asked=asked,
            strategy="direct" if resolved.target else self.models[resolved.name].kind,
            targets=ordered.targets,
            reason=ordered.reason,
            rule=ordered.rule,
            evidence=ordered.evidence,
            role=ordered.role,
            task=ordered.task,
            kind=reading.kind if reading else None,
            turn=len(reading.turns) + 1 if reading else None,
            candidates=ordered.candidates,
            left_out=ordered.left_out,
            max_tokens=ordered.max_tokens,
            consult=ordered.consult and view.whole(ordered.consult),
            note=ordered.note,
            remember=view.kept or None,
            crashes=tuple(view.crashes),
        )

    def _able(self, plan: Plan, operation: Operation) -> Plan:
        unable = [target for target in plan.targets if operation not in self.owners[target.provider].operations]
        if not unable:
            return plan
        able = tuple(target for target in plan.targets if target not in unable)
        if not able:
            vendors = ", ".join(sorted({target.provider for target in unable}))
            said = f'model "{plan.model}" has no {operation}: {vendors} offers none'
            raise CallerError(400, "unsupported_operation", said, param="model", origin="gateway")
        left_out = tuple(LeftOut(target, f"its vendor has no {operation}") for target in unable)
        return msgspec.structs.replace(plan, targets=able, left_out=(*plan.left_out, *left_out))


class _Heard(NamedTuple):
    """A strategy's answer, as far as memory goes: its first target, and what it and those it asked want to be kept."""

    first: Target
    kept: Mapping[str, Mapping[str, Any]]


class _Asking(NamedTuple):
    """A strategy that is being asked: its model's name, and what it has heard of others."""

    name: str
    heard: list[_Heard]


class _View:
    """The fleet as one request's strategies see it. ``read``: the conversation, once somebody has asked for it.

    ``crashes``: strategies that failed on the way, and how. Each strategy knows only of its own memory.
    """

    def __init__(self, planner: Planner, senses: Senses) -> None:
        self._planner, self._senses = planner, senses
        self.read: Reading | None = None
        self.crashes: list[Crash] = []
        self._asking = [_Asking("", [])]
        self.latency, self.chance = senses.latency, senses.chance
        self.window, self.price, self.measured = senses.window, senses.price, senses.measured

    def ordered(self, reference: str, facts: Facts) -> Ordered:
        planner = self._planner
        return planner.fixed_order(reference) or self.asked(planner.resolve(reference).name, facts)

    def asked(self, name: str, facts: Facts) -> Ordered:
        """What a configured model's strategy says. What it wants to be kept goes into ``kept``."""
        asking = _Asking(name, [])
        self._asking.append(asking)
        try:
            found = self._answered(name, facts)
        finally:
            self._asking.pop()
        counts = {found.targets[0], *(found.consult.targets[:1] if found.consult else ())}
        kept = {model: each for one in asking.heard if one.first in counts for model, each in one.kept.items()}
        if found.remember is not None:
            kept[name] = found.remember
        self._asking[-1].heard.append(_Heard(found.targets[0], kept))
        if found.consult and not found.consult.by:
            found = msgspec.structs.replace(found, consult=msgspec.structs.replace(found.consult, by=name))
        return found if found.remember is None else msgspec.structs.replace(found, remember=None)

    @property
    def kept(self) -> Mapping[str, Mapping[str, Any]]:
        """What is to be kept of each model, as far as its answer counts."""
        heard = self._asking[0].heard
        return heard[-1].kept if heard else {}

    def whole(self, consult: Consult) -> Consult:
        """With what other models want to be kept beside what the one that asks does."""
        whole = {advice: {**self.kept, consult.by: each} for advice, each in consult.remember.items()}
        return msgspec.structs.replace(consult, remember=whole)

    def _answered(self, name: str, facts: Facts) -> Ordered:
        """Strategies are also code of others, which raises what it likes."""
        entry = self._planner.models[name]
        try:
            return _sound(entry.strategy.order(facts, self), self._planner.owners)
        except CallerError:
            raise
        except Exception as error:
            told = "".join(traceback.format_exception(error))
            self.crashes.append(Crash(model=name, strategy=entry.kind, traceback=told))
        written = joined(entry.strategy.references(), facts, self)
        return msgspec.structs.replace(written, reason=f"{entry.kind} failed: in the order written", rule="crashed")

    def reading(self) -> Reading:
        if self.read is None:
            self.read = self._senses.reading()
        return self.read

    def nested(self) -> bool:
        # The first of them is nobody, the second the model that the request is for.
        return len(self._asking) > 2

    def remembered(self) -> Mapping[str, Any]:
        own = self._senses.remembered.get(self._asking[-1].name)
        return own if isinstance(own, dict) else {}


def _sound(ordered: Ordered, providers: Container[str]) -> Ordered:
    """Raises ``TypeError`` and ``ValueError`` for an answer nobody could follow, or tell of."""
    if not isinstance(ordered, Ordered):
        raise TypeError(f"order() gave a {type(ordered).__name__}, not an Ordered")
    for name, usual, is_fitting in _CHECKS:
        value = getattr(ordered, name)
        if value is not usual and not is_fitting(value):
            raise TypeError(f"order() gave {name} of another type: {str(value)[:100]}")
    if not ordered.targets:
        raise ValueError("order() gave no tuple of targets")
    asked = ordered.consult.targets if ordered.consult else ()
    if strangers := [target for target in (*ordered.targets, *asked) if target.provider not in providers]:
        raise ValueError(f"order() gave {strangers[0]}, and there is no such provider")
    if ordered.remember is not None or ordered.consult:
        # What cannot be kept is noticed here, and not when it is kept.
        msgspec.json.encode((ordered.remember, ordered.consult and ordered.consult.remember))
    return ordered


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _are_targets(value: Any) -> bool:
    if not isinstance(value, tuple):
        return False
    for each in value:
        if not (isinstance(each, Target) and isinstance(each.provider, str) and isinstance(each.model, str)):
            return False
    return True


def _are_caps(value: Any) -> bool:
    # An empty dict is what most have: it is not worth the look at what kind of mapping it is.
    return value == {} or (
        isinstance(value, Mapping) and all(type(cap) is int for cap in value.values()) and _are_targets(tuple(value))
    )


def _can_be_asked(consult: Consult) -> bool:
    kept = consult.remember
    memories = isinstance(kept, Mapping) and all(isinstance(each, Mapping) for each in kept.values())
    return memories and _are_targets(consult.targets) and bool(consult.targets) and _is_text(consult.why)


def _are(kind: type, value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(each, kind) for each in value)


# What a strategy answers is told to many: each field is what its type says, also where nobody has checked types.
_FITTING: Mapping[str, Callable[[Any], bool]] = {
    "targets": _are_targets,
    "reason": _is_text,
    "rule": _is_text,
    "evidence": lambda value: _are(str, value),
    "max_tokens": _are_caps,
    "role": lambda value: value in get_args(Role),
    "task": _is_text_or_none,
    "candidates": lambda value: (
        _are(Candidate, value)
        and all(
            _is_text(each.reference) and _is_text(each.why) and isinstance(each.score, int | float | None)
            for each in value
        )
    ),
    "left_out": lambda value: (
        _are(LeftOut, value) and all(_are_targets((each.target,)) and _is_text(each.reason) for each in value)
    ),
    "consult": lambda value: value is None or (isinstance(value, Consult) and _can_be_asked(value)),
    "remember": lambda value: value is None or isinstance(value, Mapping),
    "note": _is_text_or_none,
}

# Most fields are left as they are, which needs no look.
_USUAL = {field.name: field.default for field in msgspec.structs.fields(Ordered)}
_CHECKS = tuple((name, _USUAL[name], is_fitting) for name, is_fitting in _FITTING.items())


def _kept(known: dict[K, V], key: K, value: V) -> V:
    if len(known) >= MOST_KEPT:
        known.clear()
    known[key] = value
    return value
