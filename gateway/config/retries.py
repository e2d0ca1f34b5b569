"""The variables in which people already say how hard to try a cloud, read as ``resilience`` of its providers.

They are heard beside a file too, by the providers that do not say it themselves: whoever set them for another client
of the same cloud means the cloud.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import inspect

from gateway.config.findings import Findings, child
from gateway.config.fitting import WRONG, fit
from gateway.config.reading import Node
from gateway.config.settings import Provider, overridden
from gateway.resilience import Backoff, Resilience

PREFIXES: Mapping[str, str] = {
    "vertex": "GCP",
    "bedrock": "BEDROCK",
    "databricks": "DATABRICKS",
    "databricks_v2": "DATABRICKS",
}
"""Vendor -> how its variables begin."""
ENDINGS: Mapping[str, tuple[str, ...]] = {
    "MAX_RETRIES": ("retries",),
    "INITIAL_RETRY_INTERVAL_MS": ("backoff", "initial"),
    "BACKOFF_MULTIPLIER": ("backoff", "multiplier"),
    "MAX_RETRY_INTERVAL_MS": ("backoff", "max"),
}
VARIABLES = tuple(f"{prefix}_{ending}" for prefix in dict.fromkeys(PREFIXES.values()) for ending in ENDINGS)


def honoured(
    providers: Mapping[str, Provider], env: Mapping[str, str], found: Findings
) -> tuple[dict[str, Provider], dict[str, str]]:
    """The providers with what the variables say; and path -> variable, of each setting they have said."""
    heard: dict[str, Provider] = {}
    variables: dict[str, str] = {}
    for name, provider in providers.items():
        resilience, path = provider.resilience, child(child("providers", name), "resilience")
        for variable, keys in _variables(provider.vendor, env).items():
            where = ".".join((path, *keys))
            if _says(resilience, keys) or found.spoiled(where):
                continue
            value = _value(variable, keys, env[variable], found)
            if value is not WRONG:
                resilience = _with(resilience, keys, value)
                variables[where] = variable
        heard[name] = msgspec.structs.replace(provider, resilience=_wide_enough(resilience, variables, path))
    return heard, variables


def _variables(vendor: str, env: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    prefix = PREFIXES.get(vendor)
    named = {f"{prefix}_{ending}": keys for ending, keys in ENDINGS.items()} if prefix else {}
    return {variable: keys for variable, keys in named.items() if env.get(variable, "").strip()}


def _value(variable: str, keys: tuple[str, ...], text: str, found: Findings) -> Any:
    """As a file's value would be read; said of the variable if it cannot be."""
    text = text.strip()
    if variable.endswith("_MS") and not text.replace(".", "", 1).isdigit():
        found.add(variable, "is not a number of milliseconds")
        return WRONG
    node = Node(f"{text}ms" if variable.endswith("_MS") else text, filled=True)
    fields: dict[str, Any] = {field.name: field.type for field in _fields(Resilience if len(keys) == 1 else Backoff)}
    return fit(node, fields[keys[-1]], variable, found)


def _fields(struct: type[msgspec.Struct]) -> tuple[inspect.Field, ...]:
    return inspect.type_info(struct).fields  # type: ignore[attr-defined, no-any-return]


def _says(resilience: Mapping[str, Any], keys: tuple[str, ...]) -> bool:
    for key in keys:
        if key not in resilience:
            return False
        resilience = resilience[key]
    return True


def _with(resilience: Mapping[str, Any], keys: tuple[str, ...], value: Any) -> dict[str, Any]:
    first, *others = keys
    below = _with(resilience.get(first, {}), tuple(others), value) if others else value
    return {**resilience, first: below}


def _wide_enough(resilience: dict[str, Any], variables: dict[str, str], path: str) -> dict[str, Any]:
    """A first pause said alone may be above our longest, which is shorter than that of the other clients."""
    backoff = overridden(Resilience(), resilience).backoff if resilience else Backoff()
    variable = variables.get(f"{path}.backoff.initial")
    if variable is None or backoff.initial <= backoff.max or _says(resilience, ("backoff", "max")):
        return resilience
    variables[f"{path}.backoff.max"] = variable
    return _with(resilience, ("backoff", "max"), backoff.initial)
