"""The models on offer, for ``/v1/models``: from the configuration at once, richer when listings have come in."""

from __future__ import annotations

from typing import Any

from gateway.config import Config
from gateway.listings import Listings
from gateway.relay import Gateway
from gateway.routing import Target
from gateway.routing.planner import CATCH_ALL, Planner

# OpenAI's listing has a creation time for each model; ours are not created at any.
CREATED = 0


class Offers:
    def __init__(self, config: Config, planner: Planner, listings: Listings, gateway: Gateway) -> None:
        self._config, self._planner, self._listings, self._gateway = config, planner, listings, gateway

    def models(self) -> list[dict[str, Any]]:
        """Configured models and aliases first, then every provider's own, as ``provider/model``."""
        names = [name for name in (*self._config.models, *self._config.aliases) if not set(name) & set("*?[")]
        for provider, settings in self._config.providers.items():
            listed = [each.id for each in self._listings.listed.get(provider, ())]
            names += [f"{provider}/{model}" for model in (*settings.models, *settings.deployments, *listed)]
        return [self._entry(name) for name in dict.fromkeys(names)]

    def resolved(self, name: str) -> str:
        return self._planner.resolve(name).name

    def model(self, name: str) -> dict[str, Any]:
        """Raises ``CallerError`` (404)."""
        self._planner.resolve(name)
        return self._entry(name)

    def refresh(self) -> None:
        self._listings.refresh(self._gateway)

    def _entry(self, name: str) -> dict[str, Any]:
        resolved = self._planner.resolve(name)
        entry: dict[str, Any] = {"id": name, "object": "model", "created": CREATED, "owned_by": "skein"}
        if resolved.target:
            entry["owned_by"] = resolved.target.provider
        if window := self._window(resolved.name, resolved.target):
            entry["meta"] = {"n_ctx": window}
        return entry

    def _window(self, name: str, target: Target | None) -> int | None:
        """The smallest known window of the targets behind a name: what fits there fits everywhere."""
        if target:
            return self._gateway.windows(target)
        if name == CATCH_ALL:
            return None
        known = [self._gateway.windows(each) for each in self._targets(name)]
        return min((window for window in known if window), default=None)

    def _targets(self, name: str) -> set[Target]:
        found: set[Target] = set()
        for reference in self._planner.models[name].strategy.references():
            resolved = self._planner.resolve(reference)
            found |= {resolved.target} if resolved.target else self._targets(resolved.name)
        return found
