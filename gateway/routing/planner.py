"""From the model a client names to a plan: names are resolved, the strategy orders, what cannot serve is left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase

import msgspec

from gateway.chat import LONGEST_NAME, Facts, Operation, Turn
from gateway.errors import CallerError, nearest
from gateway.routing import Latency, LeftOut, Plan, Strategy, Target

CATCH_ALL = "*"


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
    """What strategies may perceive, passed in."""

    latency: Callable[[Target], Latency | None]
    chance: Callable[[], float]
    turns: Callable[[], Sequence[Turn]] = list


class Resolved(msgspec.Struct, frozen=True):
    """A configured model by name, or a target; and how it was found."""

    name: str
    target: Target | None
    by: str


def like(name: str, glob: str) -> bool:
    """Does an alias's glob mean the name? It knows ``*`` and ``?`` only: model ids may hold brackets."""
    return fnmatchcase(name, glob.replace("[", "[[]"))


class Planner:
    """Pure: the same facts and senses give the same plan. ``listings`` is read live (provider -> model ids)."""

    def __init__(
        self,
        models: Mapping[str, Entry],
        aliases: Mapping[str, str],
        owners: Mapping[str, Owner],
        listings: Mapping[str, frozenset[str]],
    ) -> None:
        self.models, self.aliases, self.owners, self.listings = models, aliases, owners, listings

    # Names

    def resolve(self, name: str) -> Resolved:
        """Model > alias > ``provider/model`` > the one owner of a bare id > ``*``. Raises ``CallerError``."""
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

    def plan(self, facts: Facts, senses: Senses, *, no_fallback: bool = False) -> Plan:
        """Raises ``CallerError``: 404 for an unknown model, 400 when no target has the operation."""
        resolved = self.resolve(facts.model)
        if resolved.target is not None:
            plan = Plan(model=resolved.name, targets=(resolved.target,), reason=resolved.by, strategy="direct")
        else:
            entry = self.models[resolved.name]
            ordered = entry.strategy.order(facts, _View(self, senses))
            plan = Plan(
                model=resolved.name,
                targets=ordered.targets,
                reason=ordered.reason,
                strategy=entry.kind,
                max_tokens=ordered.max_tokens,
                role=ordered.role,
            )
        plan = self._able(plan, facts.operation)
        if no_fallback:
            rest = tuple(LeftOut(target, "x-skein-no-fallback") for target in plan.targets[1:])
            plan = msgspec.structs.replace(plan, targets=plan.targets[:1], left_out=(*plan.left_out, *rest))
        return plan

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


class _View:
    """The fleet as one request's strategy sees it."""

    def __init__(self, planner: Planner, senses: Senses) -> None:
        self._planner, self._senses = planner, senses

    def targets(self, reference: str, facts: Facts) -> tuple[Target, ...]:
        resolved = self._planner.resolve(reference)
        if resolved.target is not None:
            return (resolved.target,)
        return self._planner.models[resolved.name].strategy.order(facts, self).targets

    def latency(self, target: Target) -> Latency | None:
        return self._senses.latency(target)

    def chance(self) -> float:
        return self._senses.chance()

    def turns(self) -> Sequence[Turn]:
        return self._senses.turns()
