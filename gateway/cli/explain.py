"""``skein explain``: what would be done with a request, and why, without calling anyone; or what was done with one."""

from __future__ import annotations

import argparse
import asyncio
import mimetypes
import os
import re
import shutil
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.api.chat import SUBAGENTS, aside_of
from gateway.attempt import Exchange
from gateway.chat import Blob, Facts, Modality, Uri
from gateway.cli import FAILED, MISCONFIGURED, OK, UsageError, add_command, add_config, add_json
from gateway.cli.asking import Unanswered, ask, path_of, where
from gateway.cli.models import quiet_runtime
from gateway.cli.printing import print_columns, print_json, remark
from gateway.cli.spoken_as import SpokenAs, spoken_as
from gateway.cli.waterfall import PLAIN, Look, cleaned, reasons, report
from gateway.config import load
from gateway.errors import CallerError
from gateway.observe import decisions
from gateway.provider import Face, Provider
from gateway.resilience import Resilience
from gateway.routing import Plan, Target
from gateway.translate import Asked, PassThrough, Translator, translator
from gateway.units import parse_duration
from gateway.upstream import shown_url

if TYPE_CHECKING:
    from gateway.app import Runtime

# What is wrong with the file itself, before anybody is asked for.
_UNREADABLE = ("invalid_json", "invalid_type", "missing_model")
_DRAWN = ("weighted", "least_latency")
SETTINGS = ("retries", "max_wait", "timeouts", "backoff", "on_refused")
"""In force for each target by itself; the rest is the exchange's."""

EXAMPLES = """\
  skein explain request.json
  echo '{"model": "fast", "messages": []}' | skein explain -
  skein explain request.json --header "x-skein-model: openai/gpt-5" --header "x-skein-no-fallback: true"
  skein explain request.json --path /v1beta/models/fast:streamGenerateContent
  skein explain request.json --json | jq -r '.targets[].url'
  skein explain req_9f2c41d07ab35e8816c4d2f0   one that was made: its x-request-id
  skein explain req_9f2c41d07ab35e8816c4d2f0 --url http://skein.internal:4000 --admin-key "$SKEIN_ADMIN_KEY"
  skein explain req_9f2c41d07ab35e8816c4d2f0 --json | jq '.waterfall'"""

# What x-request-id may be, and the endings of what is rather a file that is not there.
_ID = re.compile(r"[A-Za-z0-9._:\-]{1,128}")
_FILE_ENDINGS = (".json", ".jsonl", ".txt", ".yaml", ".yml")


def add(commands: Any) -> None:
    command = add_command(
        commands,
        "explain",
        "show what would be done with a request, or what was",
        "Shows the plan for a request and the reasons, the settings in force and what would be changed in the body.\n"
        "Calls nobody: it decides as a gateway does that has just started, with nothing measured or listed yet.\n\n"
        "Given the id of a request that was made, asks the running gateway what became of it: the plan, every attempt\n"
        "on a common scale of time, tokens, cost, tool calls.",
        EXAMPLES,
    )
    command.add_argument(
        "request", metavar="FILE|ID", help="the request's body as JSON, or - for standard input; or a request's id"
    )
    add_config(command)
    command.add_argument(
        "--header", metavar="'NAME: VALUE'", action="append", default=[], help="a header of the request; repeatable"
    )
    spoken = command.add_mutually_exclusive_group()
    spoken.add_argument(
        "--path", metavar="PATH", help="what the client calls, such as /v1/messages (default: by what the body holds)"
    )
    spoken.add_argument(
        "--as", metavar="DIALECT", dest="dialect", help="what the body is written in, such as openai_responses"
    )
    command.add_argument("--url", metavar="URL", help="of an id: where the gateway is (default: as configured)")
    command.add_argument("--admin-key", metavar="KEY", help="of an id: access.admin_key (default: $SKEIN_ADMIN_KEY)")
    add_json(command)
    command.set_defaults(act=explain)


def explain(arguments: argparse.Namespace, env: Mapping[str, str]) -> int:
    return (explain_made if is_id(arguments) else explain_planned)(arguments, env)


def is_id(arguments: argparse.Namespace) -> bool:
    """1. Whoever says where to ask has an id. 2. A file that is there is one. 3. As it looks."""
    said = arguments.request
    if arguments.url:
        return True
    if said == "-" or os.path.exists(said):
        return False
    return bool(_ID.fullmatch(said)) and not said.lower().endswith(_FILE_ENDINGS)


def explain_made(arguments: argparse.Namespace, env: Mapping[str, str]) -> int:
    for option, given in (("--header", arguments.header), ("--as", arguments.dialect), ("--path", arguments.path)):
        if given:
            raise UsageError(option, "is for a request in a file", "leave it out: what was sent is known")
    place = where(arguments, env)
    try:
        found = ask(place, path_of(arguments.request))
        lines = report(found, look(env)) if not arguments.json else []
    except Unanswered as error:
        return _unanswered(error, arguments)
    except (KeyError, TypeError):
        said = f"the gateway at {place.url} is of another version: see what it says with --json"
        return _unanswered(Unanswered(200, "no_gateway", said), arguments)
    if arguments.json:
        print_json(found)
    for line in lines:
        print(line)
    return OK


def _unanswered(error: Unanswered, arguments: argparse.Namespace) -> int:
    if arguments.json:
        print_json({"error": {"status": error.status, "code": error.code, "message": error.message}})
    else:
        remark(cleaned(error.message))
    if error.status is None and not arguments.url:
        remark(f"(there is no file {arguments.request}, so it was taken for a request's id)")
    return FAILED


def look(env: Mapping[str, str]) -> Look:
    """As wide as the terminal; plain for whoever is none, or says so."""
    if sys.stdout is None or not sys.stdout.isatty() or env.get("TERM") == "dumb":
        return PLAIN
    blocks = "utf" in (sys.stdout.encoding or "").lower()
    return Look(shutil.get_terminal_size((PLAIN.width, 24)).columns, not env.get("NO_COLOR"), blocks)


def explain_planned(arguments: argparse.Namespace, env: Mapping[str, str]) -> int:
    headers = read_headers(arguments.header)
    body = _read(arguments.request)
    said = spoken_as(body, arguments.dialect, arguments.path)
    runtime = quiet_runtime(load(arguments.config, env), env)
    try:
        found = explained(runtime, body, headers, said)
    except CallerError as error:
        return _refused(error, arguments.json)
    if arguments.json:
        print_json(found)
    else:
        _print(found)
    return OK


def _refused(error: CallerError, as_json: bool) -> int:
    if as_json:
        print_json({"error": {"status": error.status, "code": error.code, "message": error.message}})
    else:
        remark(f"it would be answered with {error.status} {error.code}: {error.message}")
    return MISCONFIGURED if error.code in _UNREADABLE else FAILED


def read_headers(said: list[str]) -> dict[str, str]:
    """Raises ``UsageError``; the value is not repeated, it may be a key."""
    headers = {}
    for each in said:
        name, colon, value = each.partition(":")
        if not colon or not name.strip():
            raise UsageError("--header", "is not a header", 'write it as --header "name: value"')
        headers[name.strip().lower()] = value.strip()
    return headers


def _read(path: str) -> bytes:
    try:
        if path == "-":
            return sys.stdin.buffer.read()
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise UsageError(
            cleaned(path) or '""', f"cannot be read: {error.strerror}", "name a file with the request's body, or -"
        ) from None


class Admitted(msgspec.Struct, frozen=True):
    """A request, what was read of it, and the plan for it."""

    exchange: Exchange
    facts: Facts
    plan: Plan


def explained(runtime: Runtime, body: bytes, headers: Mapping[str, str], said: SpokenAs) -> dict[str, Any]:
    """What the gateway itself decides, told. Raises ``CallerError``."""
    admitted = admit(runtime, exchange_of(runtime, body, headers, said))
    exchange, plan = admitted.exchange, admitted.plan
    resolved = runtime.planner.resolve(plan.asked)
    settings = runtime.gateway.resilience(plan.model, plan.targets[0].provider)
    told = decisions.told(plan)
    model = {"asked": told.pop("asked"), "pinned": told.pop("pinned"), "resolved": resolved.name, "by": resolved.by}
    return {
        "model": model,
        "dialect": exchange.dialect.NAME,
        **told,
        "targets": [_target(runtime, admitted, target) for target in plan.targets],
        "settings": _settings(settings, without=SETTINGS),
        "timeout": exchange.timeout,
        "remarks": _remarks(runtime, admitted),
    }


def admit(runtime: Runtime, exchange: Exchange) -> Admitted:
    """Raises ``CallerError``."""
    facts = exchange.dialect.peek(exchange.body, exchange.deployment or exchange.pin)
    if exchange.streamed is not None:
        facts = msgspec.structs.replace(facts, stream=exchange.streamed)
    plan = asyncio.run(_planned(runtime, exchange, facts))
    return Admitted(exchange, facts, plan)


async def _planned(runtime: Runtime, exchange: Exchange, facts: Facts) -> Plan:
    return await runtime.gateway.plan(exchange, facts)


def exchange_of(runtime: Runtime, body: bytes, headers: Mapping[str, str], said: SpokenAs) -> Exchange:
    caller = runtime.service.doorkeeper.admit(headers)
    keyed = any(name in headers for name in ("authorization", "api-key", "x-api-key", "x-goog-api-key"))
    if caller is None and keyed:
        raise CallerError(401, "invalid_api_key", "the key in the headers is none of access.keys", origin="gateway")
    return Exchange(
        id="explain",
        dialect=said.dialect,
        body=body,
        deployment=said.model,
        streamed=said.streamed,
        caller=caller.name if caller else None,
        pin=headers.get("x-skein-model"),
        timeout=_timeout(headers.get("x-skein-timeout")),
        no_fallback=headers.get("x-skein-no-fallback", "").lower() in ("1", "true", "yes"),
        subagent=any(name in headers for name in SUBAGENTS),
        aside=aside_of(headers),
        allowed=caller.may_use if caller else lambda asked, resolved: True,
    )


def _timeout(said: str | None) -> float | None:
    try:
        return parse_duration(said) if said else None
    except ValueError as error:
        raise UsageError("--header", f"x-skein-timeout: {error}", "write it as 30s") from None


def _target(runtime: Runtime, admitted: Admitted, target: Target) -> dict[str, Any]:
    provider, facts = runtime.gateway.providers[target.provider], admitted.facts
    face = provider.face(admitted.exchange.dialect.FORMAT, facts.operation, target.model, facts)
    counts = facts.operation != "count_tokens" or "count_tokens" in face.routes.urls
    return {
        "target": str(target),
        "vendor": face.vendor.title,
        "dialect": face.vendor.speaks(facts.operation),
        "url": shown_url(face.url(facts, target.model)) if counts else None,
        "window": runtime.gateway.windows(target),
        "settings": _settings(runtime.gateway.resilience(admitted.plan.model, target.provider), only=SETTINGS),
        **(_sent(admitted, provider, face, target) if counts else NOT_COUNTED),
    }


NOT_COUNTED: Mapping[str, Any] = {
    "changes": ["it is not asked: it does not count, and where nobody does the gateway estimates"],
    "dropped": (),
    "headers": {},
    "body": None,
}


def _settings(settings: Resilience, only: tuple[str, ...] = (), without: tuple[str, ...] = ()) -> dict[str, Any]:
    said: dict[str, Any] = msgspec.to_builtins(settings)
    return {name: value for name, value in said.items() if (not only or name in only) and name not in without}


def _sent(admitted: Admitted, provider: Provider, face: Face, target: Target) -> dict[str, Any]:
    """The request as it would be sent, and what it differs in: both are compared, nothing is foretold."""
    exchange = admitted.exchange
    made = translator(exchange.dialect, face.vendor, exchange.id)
    asked = Asked(
        body=exchange.body,
        facts=admitted.facts,
        target_model=target.model,
        model=face.routes.deployed(target.model),
        max_tokens=admitted.plan.max_tokens.get(target),
        cache=provider.cache,
    )
    try:
        wanted = made.fetches(asked)
        sent = made.request(asked._replace(media={each.uri: _not_fetched(each) for each in wanted}))
    except CallerError as error:
        return {"refused": error.message, "changes": [], "dropped": [], "headers": {}, "body": None}
    body = msgspec.json.decode(sent.body)
    return {
        "changes": [
            *_changes(exchange.body, body, face, made),
            *(f"{_cut(each.uri)} is fetched first" for each in wanted),
        ],
        "dropped": sent.dropped,
        "headers": dict(sent.headers),
        "body": body,
    }


def _not_fetched(wanted: Uri) -> Blob:
    """In the place of what lies there: nobody is called."""
    kind = wanted.mime_type or mimetypes.guess_type(wanted.uri.partition("?")[0])[0] or USUAL[wanted.modality]
    return Blob(modality=wanted.modality, mime_type=kind, content="bm90IGZldGNoZWQ=")


USUAL: Mapping[Modality, str] = {
    "image": "image/png",
    "audio": "audio/wav",
    "video": "video/mp4",
    "document": "application/pdf",
}


def _changes(received: bytes, body: dict[str, Any], face: Face, made: Translator) -> list[str]:
    if isinstance(made, PassThrough):
        return compared(msgspec.json.decode(received), body, face.vendor.rename)
    return [f"written anew as {face.vendor.dialect}", *(f"{name}: {_shown(value)}" for name, value in body.items())]


def compared(before: dict[str, Any], after: dict[str, Any], rename: Mapping[str, str]) -> list[str]:
    """Field by field, at the top level."""
    said = []
    renamed = {old: new for old, new in rename.items() if old in before and new in after and new not in before}
    for name, value in before.items():
        new = renamed.get(name, name)
        if new not in after:
            said.append(f"{name} is dropped: the vendor does not take it")
            continue
        if new != name:
            said.append(f"{name} becomes {new}")
        if after[new] != value:
            said.append(f"{new}: {_shown(value)} -> {_shown(after[new])}")
    added = after.keys() - before.keys() - set(renamed.values())
    return said + [f"{name} is added: {_shown(after[name])}" for name in after if name in added]


def _shown(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return _cut(text)


def _cut(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:97]}..."


def _remarks(runtime: Runtime, admitted: Admitted) -> list[str]:
    said, strategy = [], admitted.plan.strategy
    for crash in admitted.plan.crashes:
        said.append(f"{crash.strategy}, the strategy of {crash.model}, failed:\n{crash.traceback.rstrip()}")
    if strategy in _DRAWN:
        said.append(f"{strategy} draws anew for each request: the order may be another next time")
    if runtime.config.access.mode == "keys" and admitted.exchange.caller is None:
        said.append(
            "access.mode is keys and no key was given with --header: whether it may use the model was not asked"
        )
    return said


def _print(found: dict[str, Any]) -> None:
    model = found["model"]
    pinned = f" ({model['pinned']})" if model["pinned"] else ""
    print(cleaned(f'model "{model["asked"]}"{pinned} is {model["resolved"]}: {model["by"]}'))
    print(cleaned(f"{found['strategy']}: {found['reason']}"))
    print_columns(reasons(cleaned(found), found["kind"]))
    for number, target in enumerate(found["targets"], 1):
        window = f"  (window {target['window']})" if target["window"] else ""
        print(f"\n{number}. {target['target']}{window}")
        if target["url"]:
            print(f"   {target['url']}")
        for line in _body(target):
            print(f"   {line}")
        print(f"   {_said(target['settings'])}")
    timeout = f", x-skein-timeout {found['timeout']:g}s" if found["timeout"] else ""
    print(f"\nall targets together: {_said(found['settings'])}{timeout}")
    for each in found["remarks"]:
        remark(f"note: {each}")


def _body(target: dict[str, Any]) -> list[str]:
    if "refused" in target:
        return [f"it cannot be sent: {target['refused']}"]
    told = {change.partition(" ")[0] for change in target["changes"]}
    left_out = [name for name in target["dropped"] if name not in told]
    lines = target["changes"] or ["the body goes on unchanged"]
    lines = [*lines, f"left out, for want of words: {', '.join(map(_cut, left_out))}"] if left_out else lines
    return lines + [f"header {name}: {_cut(value)}" for name, value in target["headers"].items()]


_LEFT_TO_JSON = ("backoff", "breaker", "spike", "retry_budget", "write", "whole")


def _said(settings: dict[str, Any], unit: str = "") -> str:
    """``retries 2, connect 5s, first_token 60s``"""
    said = []
    for name, value in settings.items():
        if isinstance(value, dict) and name not in _LEFT_TO_JSON:
            said.append(f"{name} {_said(value, 's')}".replace(", ", " "))
        elif name not in _LEFT_TO_JSON and value is not None:
            seconds = unit or ("s" if name in ("max_wait", "keepalive") else "")
            said.append(f"{name} {value:g}{seconds}" if isinstance(value, float | int) else f"{name} {value}")
    return ", ".join(said)
