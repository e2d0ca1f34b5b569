"""``skein models``: the names a client may ask for, and what is behind each."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gateway.cli import OK, add_command, add_config, add_json
from gateway.cli.printing import print_columns, print_json, remark
from gateway.cli.signing import blotted, secrets_of
from gateway.config import Config, load
from gateway.errors import Fault
from gateway.routing import Target
from gateway.upstream import shown_url

if TYPE_CHECKING:
    from gateway.app import Runtime
    from gateway.provider import Provider
    from gateway.routing.planner import Planner

EXAMPLES = """\
  skein models                         what the configuration offers
  skein models --listed                also what the providers say they have
  skein models --json | jq -r '.[].id'
  skein models --scores                what the strategy dynamic expects of each candidate, as the gateway has measured
  skein models --scores auto           the same of one model"""


def add(commands: Any) -> None:
    command = add_command(
        commands,
        "models",
        "list the models on offer",
        "Lists the models on offer: configured ones, aliases, then each provider's own as provider/model.",
        EXAMPLES,
    )
    add_config(command)
    command.add_argument("--listed", action="store_true", help="also ask the providers' listings (5 s at most)")
    command.add_argument(
        "--scores",
        metavar="MODEL",
        nargs="?",
        const="",
        help="how well candidates do each kind of work, and how sure it is",
    )
    command.add_argument("--url", metavar="URL", help="of --scores: where the gateway is (default: as configured)")
    command.add_argument("--admin-key", metavar="KEY", help="of --scores: access.admin_key (default: $SKEIN_ADMIN_KEY)")
    add_json(command)
    command.set_defaults(act=models)


def models(arguments: argparse.Namespace, env: Mapping[str, str]) -> int:
    if arguments.scores is not None:
        from gateway.cli.scores import scores

        return scores(arguments, env)
    config = load(arguments.config, env)
    runtime = quiet_runtime(config, env)
    if arguments.listed:
        for said in asyncio.run(ask_listings(runtime)):
            remark(said)
    found = offered(runtime)
    if arguments.json:
        print_json(found)
    elif found:
        rows = ((each["id"], each["strategy"], ", ".join(each["targets"]), _window(each["window"])) for each in found)
        print_columns([("MODEL", "STRATEGY", "TARGETS", "WINDOW"), *rows], indent=0)
    if not found:
        remark("no models are configured; any provider/model can be asked for, and --listed shows what there is")
    return OK


def _window(tokens: int | None) -> str:
    return str(tokens) if tokens else "-"


def quiet_runtime(config: Config, env: Mapping[str, str]) -> Runtime:
    """The gateway put together as for serving, with nobody listening to its events."""
    from gateway.app import Runtime

    return Runtime(config, None, env)


def offered(runtime: Runtime) -> list[dict[str, Any]]:
    """The entries of ``/v1/models``, with what is behind each."""
    return [_offer(runtime, entry) for entry in runtime.service.catalogue.models()]


def _offer(runtime: Runtime, entry: dict[str, Any]) -> dict[str, Any]:
    name = entry["id"]
    resolved = runtime.planner.resolve(name)
    strategy = "direct" if resolved.target else runtime.planner.models[resolved.name].kind
    return {
        "id": name,
        "strategy": "alias" if name not in (resolved.name, str(resolved.target)) else strategy,
        "targets": [str(target) for target in targets_behind(runtime.planner, name)],
        "leads_to": resolved.name,
        "window": entry.get("meta", {}).get("n_ctx"),
    }


def targets_behind(planner: Planner, name: str) -> tuple[Target, ...]:
    """Every target a name may lead to, in the order written. Raises ``CallerError`` for a name that leads nowhere."""
    resolved = planner.resolve(name)
    if resolved.target:
        return (resolved.target,)
    references = planner.models[resolved.name].strategy.references()
    return tuple(dict.fromkeys(target for each in references for target in targets_behind(planner, each)))


def models_of(config: Config, provider: str) -> tuple[str, ...]:
    """The models the configuration knows a provider for: those of targets first, as they are what is used."""
    places = [each for model in config.models.values() for each in model.strategy.references()]
    places += config.aliases.values()
    of_targets = [each.partition("/")[2] for each in places if each.partition("/")[0] == provider]
    settings = config.providers[provider]
    known = (*of_targets, *settings.models, *settings.deployments)
    return tuple(dict.fromkeys(model for model in known if model))


async def ask_listings(runtime: Runtime) -> list[str]:
    """Every provider's listing at once, into the runtime; what could not be had is told."""
    from gateway.listings import fetch

    asked = [each for each in runtime.gateway.providers.values() if "models" in each.operations]
    try:
        answers = await asyncio.gather(*(fetch(runtime.gateway, each) for each in asked))
    finally:
        await runtime.upstream.close()
    remarks = []
    for provider, answer in zip(asked, answers, strict=True):
        if isinstance(answer, Fault):
            secrets = secrets_of(runtime.config.providers[provider.name])
            said = f"{provider.name}: no listing from {answer.url or _listing(provider)}: {answer.message}"
            remarks.append(blotted(said, secrets))
        else:
            runtime.listings.put(provider.name, answer)
    return remarks


def _listing(provider: Provider) -> str:
    return shown_url(provider.face("", "models").routes.url("models"))
