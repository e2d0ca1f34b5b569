"""``skein config``: the schema of the file, and the settings as they come out of it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.cli import OK, Help, add_command, add_config, add_json
from gateway.cli.printing import print_json, remark
from gateway.config import Config, CustomVendor, Model, Provider, load, schema
from gateway.config.signing_in import MASK
from gateway.upstream import shown_url

SCHEMA_EXAMPLES = """\
  skein config schema > skein.schema.json
  # and as the first line of skein.yaml, for editors that know the YAML language server:
  # yaml-language-server: $schema=skein.schema.json"""
SHOW_EXAMPLES = """\
  skein config show                    every setting, defaults and variables filled in
  skein config show --json | jq .config.resilience.timeouts"""


def add(commands: Any) -> None:
    command = commands.add_parser(
        "config",
        help="show the configuration, or its JSON Schema",
        description="Shows the configuration, or its JSON Schema.",
        formatter_class=Help,
    )
    kinds = command.add_subparsers(metavar="WHAT", required=True)
    of_schema = add_command(
        kinds, "schema", "print the JSON Schema", "Prints the JSON Schema of the file, for editors.", SCHEMA_EXAMPLES
    )
    of_schema.set_defaults(act=print_schema)
    of_show = add_command(
        kinds,
        "show",
        "print the settings in force",
        "Prints the settings in force, defaults included and secrets masked, and where they are from.",
        SHOW_EXAMPLES,
    )
    add_config(of_show)
    add_json(of_show)
    of_show.set_defaults(act=show)


def print_schema(arguments: argparse.Namespace, env: Mapping[str, str]) -> int:
    print(json.dumps(schema(), indent=2, ensure_ascii=False))
    return OK


def show(arguments: argparse.Namespace, env: Mapping[str, str]) -> int:
    config = load(arguments.config, env)
    if arguments.json:
        print_json({"source": config.source, "config": shown(config), "notes": config.notes})
        return OK
    import yaml

    print(f"# source: {config.source}")
    print(yaml.safe_dump(shown(config), sort_keys=False, allow_unicode=True, width=120), end="")
    for note in config.notes:
        remark(f"note: {note}")
    return OK


def shown(config: Config) -> dict[str, Any]:
    """The settings as a file would say them."""
    sections = (
        "server",
        "providers",
        "models",
        "aliases",
        "resilience",
        "observe",
        "access",
        "media",
        "sessions",
        "turns",
    )
    shown = {name: _shown(getattr(config, name)) for name in sections}
    # What a vendor of the file leaves out is as in another one: said as nothing, it would be a problem in some places.
    vendors = {name: _said(each) for name, each in config.custom.items()}
    return {"vendors": vendors, **shown} if vendors else shown


def _said(vendor: CustomVendor) -> dict[str, Any]:
    return {name: value for name, value in msgspec.to_builtins(vendor).items() if value is not None}


def _shown(value: Any) -> Any:
    match value:
        case Model():
            overrides = {"resilience": value.resilience} if value.resilience else {}
            return {"strategy": value.kind, **msgspec.to_builtins(value.strategy), **overrides}
        case msgspec.Struct():
            fields = {name: getattr(value, name) for name in value.__struct_fields__}
            masked = dict(value.__rich_repr__())
            if isinstance(value, Provider):
                # Where it was pasted with a key in its query, the query is masked; both words mean the same.
                masked["base_url"] = value.base_url and shown_url(value.base_url)
                del masked["endpoint"]
            return {name: _shown(each) if each is fields[name] else _masked(each) for name, each in masked.items()}
        case dict():
            return {name: _shown(each) for name, each in value.items()}
        case tuple() | list():
            return [_shown(each) for each in value]
    return value


def _masked(value: Any) -> Any:
    match value:
        case dict():
            return dict.fromkeys(value, MASK)
        case tuple():
            return [MASK] * len(value)
    return MASK if value == "…" else value
