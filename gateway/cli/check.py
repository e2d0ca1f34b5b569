"""``skein check``: is the configuration good, and where will each call go?"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from gateway.cli import MISCONFIGURED, OK, add_command, add_config, add_json
from gateway.cli.models import models_of
from gateway.cli.printing import print_columns, print_json, remark
from gateway.cli.signing import signing_of
from gateway.config import Config, load
from gateway.errors import OperatorError
from gateway.upstream import shown_url
from gateway.vendors import Routes, Vendor, routes

EXAMPLES = """\
  skein check                          the configuration that `skein serve` would use here
  skein check --config skein.yaml      that file, before it is put to work
  skein check --json | jq -r '.providers[].urls.chat'"""


def add(commands: Any) -> None:
    command = add_command(
        commands,
        "check",
        "say whether the configuration is good",
        "Says every problem of the configuration, or where each call will go. Calls nobody.",
        EXAMPLES,
    )
    add_config(command)
    add_json(command)
    command.set_defaults(act=check)


def check(arguments: argparse.Namespace, env: Mapping[str, str]) -> int:
    try:
        config = load(arguments.config, env)
        refuse_lost_telemetry(config, env)
    except OperatorError as error:
        if not arguments.json:
            raise
        print_json({"ok": False, "problems": error.problems})
        return MISCONFIGURED
    found = checked(config)
    if arguments.json:
        print_json(found)
    else:
        _print(found)
    return OK


def refuse_lost_telemetry(config: Config, env: Mapping[str, str]) -> None:
    """Where telemetry goes is also said by variables that no setting names. Raises ``OperatorError``."""
    from gateway.observing import check_destinations

    if problems := check_destinations(config, env):
        raise OperatorError(problems)


def checked(config: Config) -> dict[str, Any]:
    return {
        "ok": True,
        "source": config.source,
        "providers": {name: _provider(config, name) for name in config.providers},
        "models": {
            name: {"strategy": model.kind, "targets": described(model.strategy)}
            for name, model in config.models.items()
        },
        "aliases": config.aliases,
        "notes": config.notes,
    }


def _provider(config: Config, name: str) -> dict[str, Any]:
    settings = config.providers[name]
    vendor = config.vendors[settings.vendor]
    first, *others = _faces(vendor, settings.dialect)
    return {
        "vendor": vendor.name,
        "title": vendor.title,
        **_face(config, name, first),
        "faces": [{"serves": row.serves, **_face(config, name, row)} for row in others],
    }


def _faces(vendor: Vendor, dialect: str | None) -> list[Vendor]:
    """Those that are called. One that has no model of its own is for who asks for its dialect."""
    if dialect:
        return [row for row in (vendor, *vendor.faces) if row.dialect == dialect] or [vendor]
    return [vendor, *(row for row in vendor.faces if "!*" not in row.serves)]


def _face(config: Config, name: str, row: Vendor) -> dict[str, Any]:
    located = routes(row, config.providers[name].account)
    models = tuple(model for model in models_of(config, name) if row.has(model))
    return {
        "dialect": row.dialect,
        "auth": signing_of(name, config, row).shown,
        "urls": {operation: shown_url(template) for operation, template in located.urls.items()},
        "deployments": _deployments(located, models),
    }


def _deployments(located: Routes, models: tuple[str, ...]) -> dict[str, Any]:
    """Model -> what it is called at the vendor, and its own URLs, where either depends on the model."""
    own_urls = any("{model}" in template for template in located.urls.values())
    return {
        model: {
            "deployment": located.deployed(model),
            "urls": {
                operation: shown_url(located.url(operation, model))
                for operation, template in located.urls.items()
                if "{model}" in template
            },
        }
        for model in models
        if own_urls or located.deployed(model) != model
    }


def described(strategy: Any) -> list[str]:
    """A strategy's references as people say them: ``lead smart``, ``openai/gpt-5 (weight 3)``."""
    references = strategy.references()
    fields = {name: getattr(strategy, name) for name in strategy.__struct_fields__}
    said = [each for name, value in fields.items() for each in _said(name, value, references)]
    # A strategy of somebody else's may make them up, or keep them where nobody looks.
    return said or list(references)


def _said(name: str, value: Any, references: tuple[str, ...]) -> list[str]:
    match value:
        case str() if value in references:
            return [f"{name} {value}"]
        case tuple():
            return [each if isinstance(each, str) else _weighed(each, references) for each in value]
    return []


def _weighed(entry: Any, references: tuple[str, ...]) -> str:
    """The reference of an entry, and the numbers beside it."""
    fields = {name: getattr(entry, name) for name in entry.__struct_fields__}
    reference = next((value for value in fields.values() if isinstance(value, str) and value in references), "")
    numbers = [f"{name} {value:g}" for name, value in fields.items() if type(value) in (int, float)]
    return f"{reference} ({', '.join(numbers)})" if numbers else reference


def _print(found: dict[str, Any]) -> None:
    print(f"{found['source']}: no problems")
    for name, provider in found["providers"].items():
        print(f"\nprovider {name}: {provider['title']}, {provider['auth']}")
        print_columns(_urls(provider))
        for face in provider["faces"]:
            print(f"  {face['dialect']}{_for(face['serves'])}, {face['auth']}")
            print_columns(_urls(face), indent=4)
    if found["models"]:
        print("\nmodels")
        print_columns((name, each["strategy"], ", ".join(each["targets"])) for name, each in found["models"].items())
    if found["aliases"]:
        print("\naliases")
        print_columns((alias, f"-> {target}") for alias, target in found["aliases"].items())
    for note in found["notes"]:
        remark(f"note: {note}")


def _for(serves: tuple[str, ...]) -> str:
    """`` for claude-*``"""
    plus = [glob for glob in serves if not glob.startswith("!")]
    minus = [glob[1:] for glob in serves if glob.startswith("!")]
    said = f" for {', '.join(plus)}" if plus and plus != ["*"] else ""
    return f"{said} but {', '.join(minus)}" if minus else said


def _urls(provider: dict[str, Any]) -> list[tuple[str, ...]]:
    deployments = provider["deployments"]
    rows: list[tuple[str, ...]] = []
    for operation, template in provider["urls"].items():
        known = [(model, each["urls"][operation]) for model, each in deployments.items() if operation in each["urls"]]
        rows += [(operation, url, f"for {model}") for model, url in known] or [(operation, template)]
    renamed = [(model, each) for model, each in deployments.items() if not each["urls"]]
    return rows + [("model", f"{model} is called {each['deployment']} there") for model, each in renamed]
