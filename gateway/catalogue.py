"""The models on offer, for ``/v1/models``: from the configuration at once, richer when listings have come in."""

from __future__ import annotations

from typing import Any

from gateway.abilities import abilities
from gateway.api.listings_shown import Price
from gateway.chat import Usage
from gateway.config import Config
from gateway.listings import Listings
from gateway.relay import Gateway
from gateway.routing import Target
from gateway.routing.planner import CATCH_ALL, Planner

# OpenAI's listing has a creation time for each model; ours are not created at any.
CREATED = 0
# Prices are asked of so many tokens: of one, some would be lost; of many, large requests may cost otherwise.
_SAMPLE = 1000
_SAMPLES = (Usage(input_tokens=_SAMPLE), Usage(output_tokens=_SAMPLE))


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

    def price(self, name: str) -> Price | None:
        """Dollars per token, read and written: of several targets the dearest. None where one's price is not known.

        Raises ``CallerError`` (404).
        """
        resolved = self._planner.resolve(name)
        targets = {resolved.target} if resolved.target else self._targets(resolved.name)
        read, written = ([self._gateway.means.cost(target, sample) for target in targets] for sample in _SAMPLES)
        found = [[each.usd / _SAMPLE for each in costs if each] for costs in (read, written)]
        return Price(*map(max, found)) if targets and all(len(each) == len(targets) for each in found) else None

    def refresh(self) -> None:
        self._listings.refresh(self._gateway)

    def _entry(self, name: str) -> dict[str, Any]:
        resolved = self._planner.resolve(name)
        entry: dict[str, Any] = {"id": name, "object": "model", "created": CREATED, "owned_by": "skein"}
        if resolved.target:
            entry["owned_by"] = resolved.target.provider
        if meta := self._meta({resolved.target} if resolved.target else self._targets(resolved.name)):
            entry["meta"] = meta
        return entry

    def _meta(self, targets: set[Target]) -> dict[str, Any]:
        """What holds at every target behind a name: what fits there fits everywhere. Nothing of what is not known."""
        windows = [window for target in targets if (window := self._gateway.windows(target))]
        outputs = [output for target in targets if (output := self._output(target))]
        able = [self._able(target) for target in targets]
        meta: dict[str, Any] = {}
        if windows:
            meta["n_ctx"] = min(windows)
        if outputs:
            meta["max_output"] = min(outputs)
        if common := [word for word in CAPABILITIES if able and all(each.get(word) for each in able)]:
            meta["capabilities"] = common
        return meta

    def _output(self, target: Target) -> int | None:
        known = self._listings.known(target.provider, target.model)
        return (known.output if known else None) or abilities(target.model).output

    def _able(self, target: Target) -> dict[str, bool | None]:
        """As is known of the name, unless the vendor says otherwise of what it serves."""
        of_name, listed = abilities(target.model), self._listings.known(target.provider, target.model)
        return {
            "tools": of_name.tools,
            "vision": of_name.images,
            "reasoning": of_name.thinking is not None and of_name.thinking != "none",
            "json_schema": of_name.schema,
            **(listed.able if listed else {}),
        }

    def _targets(self, name: str) -> set[Target]:
        if name == CATCH_ALL:
            return set()
        found: set[Target] = set()
        for reference in self._planner.models[name].strategy.references():
            resolved = self._planner.resolve(reference)
            found |= {resolved.target} if resolved.target else self._targets(resolved.name)
        return found


CAPABILITIES = ("tools", "vision", "reasoning", "json_schema")
