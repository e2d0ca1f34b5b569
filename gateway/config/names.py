"""What a name leads to: a configured model, ``provider/model``, an alias, or an id that a provider owns."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase

import msgspec

from gateway.config.findings import listed, quoted
from gateway.config.settings import Config, Provider
from gateway.errors import did_you_mean, nearest
from gateway.vendors import Vendor


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """Every name there is, including those of entries that have problems of their own."""

    providers: Mapping[str, Provider | None]
    models: tuple[str, ...]
    aliases: Mapping[str, str]
    vendors: Mapping[str, Vendor]
    vague: bool = False
    """A whole section could not be read, so there may be names nobody knows of."""

    def leads_to_target(self, reference: str) -> bool:
        """A configured model, or ``provider/model`` of a known provider."""
        provider, slash, model = reference.partition("/")
        return self.vague or reference in self.models or bool(slash and model.strip() and provider in self.providers)

    def owners(self, model: str) -> list[str]:
        """The providers that list a bare id; if none does, those whose vendor's names it has."""
        providers = {name: provider for name, provider in self.providers.items() if provider}
        listing = [name for name, each in providers.items() if model in each.models or model in each.deployments]
        return listing or [name for name, each in providers.items() if _named_by(self.vendors.get(each.vendor), model)]

    def remedy(self, reference: str, also: Collection[str] = ()) -> str:
        """What to write in the place of a reference that leads nowhere."""
        provider, slash, model = reference.partition("/")
        if not reference.isprintable() or len(reference) > 200:
            return "write provider/model"
        if slash and provider not in self.providers:
            near = [f"{name}/{model}" for name in nearest(provider, self.providers)]
            return did_you_mean(reference, [*near, *self.models]) or f"there is {listed(self.providers)}"
        if not slash and (owners := self.owners(reference)):
            return f"write {' or '.join(quoted(f'{owner}/{reference}') for owner in owners)}"
        offered = [f"{name}/{model}" for name, each in self.providers.items() if each for model in each.models]
        return (
            did_you_mean(reference, [*self.models, *also, *offered])
            or "write provider/model, or the name of a configured model"
        )


def names_of(config: Config, providers: Iterable[str], models: Iterable[str], vague: bool) -> Names:
    return Names(
        providers={name: config.providers.get(name) for name in providers},
        models=tuple(models),
        aliases=config.aliases,
        vendors=config.vendors,
        vague=vague,
    )


def why_not(reference: str, names: Names) -> str:
    """What is wrong with a reference that leads nowhere."""
    provider, slash, _ = reference.partition("/")
    if slash and provider in names.providers:
        return f"{quoted(reference)} names no model after the slash"
    if slash:
        return f"no provider {quoted(provider)}"
    return f"no model {quoted(reference)}"


def follow(alias: str, names: Names) -> str | None:
    """The configured model or ``provider/model`` an alias comes to; None if it comes to nothing or back to itself.

    An alias may name another one exactly. Globs are not applied on the way, so ``"gpt-*": gpt-5`` is no loop.
    """
    seen = {alias}
    target = names.aliases[alias]
    while not names.leads_to_target(target):
        if target not in names.aliases:
            owners = names.owners(target)
            return f"{owners[0]}/{target}" if len(owners) == 1 else None
        if target in seen:
            return None
        seen.add(target)
        target = names.aliases[target]
    return target


def _named_by(vendor: Vendor | None, model: str) -> bool:
    return vendor is not None and any(fnmatchcase(model, pattern) for pattern in vendor.owns)
