"""``skein doctor``: calls every provider, each thing on its own, and says what is wrong and how to see it again."""

from __future__ import annotations

import argparse
import asyncio
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from gateway.cli import FAILED, OK, UsageError, add_command, add_config, add_json
from gateway.cli.mistakes import Evidence, mistake
from gateway.cli.models import models_of, quiet_runtime, targets_behind
from gateway.cli.printing import columns, print_json, remark
from gateway.cli.signing import (
    ENTRA,
    Signing,
    blotted,
    introductions,
    secrets_of,
    shell_headers,
    shouted,
    signing_of,
)
from gateway.config import Config, load
from gateway.config.names import names_of
from gateway.errors import CallerError, FaultKind, did_you_mean
from gateway.units import parse_duration
from gateway.upstream import shown_url

if TYPE_CHECKING:
    from gateway.app import Runtime
    from gateway.cli.probes import Heard, Prober, Test

Outcome = Literal["ok", "warning", "failed", "skipped"]
TESTS: tuple[Test, ...] = ("listing", "chat", "stream", "tools")

TIMEOUT = "20s"
# Of a listing nobody has configured anything from, what one cannot chat with.
_NOT_FOR_CHAT = re.compile(
    r"embed|whisper|\btts\b|dall-e|image|moderation|rerank|audio|realtime|transcri|guard|sora|babbage|davinci"
    r"|instruct$|speech|codex|deep-research|search|ocr|voxtral",
    re.IGNORECASE,
)
# A secret of the URL, as it is shown.
_IN_QUERY = re.compile(r"([^?&]+)=[*]{3}")
# Asked for when no model is known: whoever refuses this name has let us in.
NOBODY = "skein-doctor-probe"

EXAMPLES = """\
  skein doctor                         every provider: its listing, a chat, a streamed chat, a tool call
  skein doctor --provider azure-eu openai
  skein doctor --model fast            the targets behind that name
  skein doctor --model openai/gpt-5-mini --timeout 60s
  skein doctor --json | jq '.[] | select(.outcome == "failed")'"""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One test of one provider. ``mistake`` and ``remedy`` are there when a usual mistake was recognised."""

    provider: str
    test: str
    outcome: Outcome
    model: str | None = None
    method: str | None = None
    url: str | None = None
    status: int | None = None
    seconds: float | None = None
    first_output: float | None = None
    fault: str | None = None
    message: str = ""
    mistake: str = ""
    remedy: str = ""
    curl: str | None = None


def add(commands: Any) -> None:
    command = add_command(
        commands,
        "doctor",
        "call every provider and say what is wrong",
        "Asks each provider for its listing, a chat, a streamed chat and a tool call, and names the usual mistake\n"
        "behind what fails, with a curl line that shows it again. The calls are real and cost a few tokens.\n"
        "A listing that fails is only a warning: requests do not need it.",
        EXAMPLES,
    )
    add_config(command)
    command.add_argument("--provider", metavar="NAME", action="extend", nargs="+", help="only these")
    command.add_argument("--model", help="the model to test with; default: one the configuration uses, else one listed")
    command.add_argument("--timeout", default=TIMEOUT, help=f"for each call (default {TIMEOUT})")
    add_json(command)
    command.set_defaults(act=doctor)


def doctor(arguments: argparse.Namespace, env: Mapping[str, str]) -> int:
    config = load(arguments.config, env)
    timeout = _timeout(arguments.timeout)
    runtime = quiet_runtime(config, env)
    chosen = choose(runtime, arguments.provider or [], arguments.model)
    visits = [Visit(runtime, name, model, timeout) for name, model in chosen.items()]
    results = asyncio.run(_visit_all(runtime, visits))
    if arguments.json:
        print_json(results)
    else:
        for visit in visits:
            visit.show([each for each in results if each.provider == visit.name])
    broken = list(dict.fromkeys(each.provider for each in results if each.outcome == "failed"))
    if broken:
        remark(f"broken: {', '.join(broken)}")
    return FAILED if broken else OK


def _timeout(said: str) -> float:
    try:
        if seconds := parse_duration(said):
            return seconds
        what = "must be more than 0"
    except ValueError as error:
        what = str(error)
    raise UsageError("--timeout", what, "write it as 20s")


def choose(runtime: Runtime, names: Sequence[str], model: str | None) -> dict[str, str | None]:
    """Provider -> the model that was asked for there. Raises ``UsageError`` for a provider nobody configured."""
    providers = runtime.config.providers
    if wrong := next((name for name in names if name not in providers), None):
        remedy = did_you_mean(wrong, providers) or f"there is {', '.join(providers)}"
        raise UsageError("--provider", f'no provider "{wrong}"', remedy)
    chosen = list(dict.fromkeys(names)) or list(providers)
    if model is None:
        return dict.fromkeys(chosen)
    behind = {target.provider: target.model for target in reversed(_behind(runtime, model))}
    if any(name in behind for name in chosen):
        return {name: behind[name] for name in chosen if name in behind}
    # A name that leads to none of the chosen is a vendor's own: asked for as it is, but only where it may be known.
    return dict.fromkeys(chosen if names or len(chosen) == 1 else _owners(runtime.config, model), model)


def _owners(config: Config, model: str) -> list[str]:
    """The providers that have this model, by what is configured or by their vendors' names."""
    if owners := names_of(config, config.providers, config.models, False).owners(model):
        return owners
    remedy = f"say whose it is: --model PROVIDER/{model}, or --provider with one of {', '.join(config.providers)}"
    raise UsageError("--model", f'no model "{model}" here, nor a provider known to have it', remedy)


def _behind(runtime: Runtime, model: str) -> Sequence[Any]:
    try:
        return targets_behind(runtime.planner, model)
    except CallerError:
        return ()


async def _visit_all(runtime: Runtime, visits: list[Visit]) -> list[Result]:
    """All providers at once."""
    progress = _Progress(len(visits))
    try:
        found = await asyncio.gather(*(progress.count(visit.run()) for visit in visits))
    finally:
        progress.clear()
        await runtime.upstream.close()
    return [result for each in found for result in each]


class _Progress:
    """One line on a terminal, gone at the end."""

    def __init__(self, total: int) -> None:
        self._done, self._total, self._shown = 0, total, sys.stderr.isatty()
        self._write()

    async def count(self, work: Any) -> Any:
        result = await work
        self._done += 1
        self._write()
        return result

    def _write(self) -> None:
        if self._shown:
            print(f"\r\x1b[K{self._done} of {self._total} providers seen", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


class Visit:
    """One provider's tests, and how they are told."""

    def __init__(self, runtime: Runtime, name: str, model: str | None, timeout: float) -> None:
        from gateway.cli.probes import Prober

        self.name = name
        self._config: Config = runtime.config
        self._settings = runtime.config.providers[name]
        self._vendor = runtime.config.vendors[self._settings.vendor]
        self._signing: Signing = signing_of(name, self._config)
        self._secrets = secrets_of(self._settings)
        self._headers = shell_headers(name, self._config)
        self._provider = runtime.gateway.providers[name]
        self._asked = model
        self._listed: tuple[str, ...] = ()
        self._key = next(iter(self._settings.keys), None)
        self._prober: Prober = Prober(self._provider, self._key, runtime.upstream, timeout, self._secrets)

    async def run(self) -> list[Result]:
        """The listing beside the chat, the others one by one so that they do not slow each other.

        Silence is waited for once: who answers neither listing nor chat is not asked further.
        """
        listing = asyncio.create_task(self._list())
        if "chat" not in self._provider.operations:
            return [await listing, *(self._skipped(test, f"{self._vendor.title} has no chat") for test in TESTS[1:])]
        model = self._known_model()
        if model is None:
            await listing
            model = self._listed_model()
        if model is None:
            return await self._without_model(await listing)
        chat, listed = await self._ask("chat", model), await listing
        if not _was_silent(chat):
            return [listed, chat, await self._ask("stream", model), await self._ask("tools", model)]
        if _was_silent(listed):
            return [listed, chat, *(self._skipped(test, "nothing answers there") for test in TESTS[2:])]
        return [listed, chat, *await asyncio.gather(*(self._ask(test, model) for test in TESTS[2:]))]

    async def _ask(self, test: Test, model: str) -> Result:
        model = self._for(test, model)
        return self._told(test, await self._prober.ask(test, model), model)

    async def _list(self) -> Result:
        if "models" not in self._provider.operations:
            return self._skipped("listing", f"{self._vendor.title} has no listing")
        heard = await self._prober.listing()
        self._listed = tuple(each.id for each in heard.listed)
        return self._told("listing", heard, None)

    def _known_model(self) -> str | None:
        """1. The one asked for. 2. The first the configuration uses. 3. A pasted deployment."""
        return self._asked or next(iter(models_of(self._config, self.name)), self._deployment())

    def _deployment(self) -> str | None:
        return next((face.routes.deployment for face in self._provider.faces if face.routes.deployment), None)

    def _listed_model(self) -> str | None:
        # Azure lists every model there is to deploy, deployed or not.
        listed = () if self._vendor.name == "azure_openai" else self._listed
        return next((each for each in listed if not _NOT_FOR_CHAT.search(each)), None)

    def _for(self, test: Test, model: str) -> str:
        """The simulator has a model of its own for tools; `echo` calls none on purpose."""
        return "tools" if self._vendor.name == "simulator" and test == "tools" and not self._asked else model

    async def _without_model(self, listing: Result) -> list[Result]:
        """Whether one is let in at all can be seen without a model: by who refuses the name of none."""
        if _was_silent(listing):
            failed = msgspec.structs.replace(listing, outcome="failed")
            return [failed, *(self._skipped(test, "nothing answers there") for test in TESTS[1:])]
        why = "no model is known to test with: name one with --model, or under models of the configuration"
        heard = await self._prober.ask("chat", NOBODY)
        refused = heard.fault and heard.fault.kind in (FaultKind.MODEL_MISSING, FaultKind.BAD_REQUEST)
        if heard.good or (refused and not self._is_wrong_path(heard)):
            return [listing, *(self._skipped(test, why) for test in TESTS[1:])]
        return [listing, self._told("chat", heard, NOBODY), *(self._skipped(test, why) for test in TESTS[2:])]

    def _is_wrong_path(self, heard: Heard) -> bool:
        said = f"{heard.fault and heard.fault.body}".lower()
        return heard.status == 404 and not ("model" in said or "deployment" in said or NOBODY in said)

    # Told

    def _skipped(self, test: Test, why: str) -> Result:
        return Result(provider=self.name, test=test, outcome="skipped", message=why)

    def _told(self, test: Test, heard: Heard, model: str | None) -> Result:
        fault = heard.fault
        name, remedy = ("", "") if heard.good else mistake(self._evidence(test, heard, model))
        return Result(
            provider=self.name,
            test=test,
            outcome="ok" if heard.good else "warning" if test == "listing" else "failed",
            model=model,
            method="GET" if heard.body is None else "POST",
            url=shown_url(heard.url),
            status=heard.status,
            seconds=round(heard.seconds, 3),
            first_output=None if heard.first is None else round(heard.first, 3),
            fault=fault.kind.value if fault else None,
            message=blotted(_one_line(fault.message if fault else heard.complaint), self._secrets),
            mistake=name,
            remedy=blotted(remedy, self._secrets),
            curl=self._curl(test, heard),
        )

    def _evidence(self, test: Test, heard: Heard, model: str | None) -> Evidence:
        fault, signing = heard.fault, signing_of(self.name, self._config, heard.face)
        return Evidence(
            test=test,
            provider=self.name,
            vendor=self._vendor,
            url=heard.url,
            model=model or "",
            kind=fault.kind if fault else None,
            status=heard.status,
            code=(fault.code if fault else "") or "",
            said=f"{fault.body or ''} {fault.message}" if fault else heard.complaint,
            content_type=heard.content_type,
            location=heard.location,
            key=self._key or "",
            signs_in=bool(signing.header),
            with_entra=signing.variable == ENTRA,
            variable=f"providers.{self.name}.{signing.setting}{_where(signing)}",
            listed=self._listed,
            retry_after=fault.retry_after if fault else None,
        )

    def _curl(self, test: Test, heard: Heard) -> str | None:
        if heard.url.partition(":")[0] not in ("http", "https"):
            return None
        signing = signing_of(self.name, self._config, heard.face)
        own = {name.lower() for name, _ in self._headers}
        sent = [each for each in heard.headers if each[0].lower() not in own]
        sent += [*self._headers, *signing.for_shell]
        sent += [("Content-Type", "application/json")] if heard.body is not None else []
        words = ["curl", "-sSN" if test == "stream" else "-sS", self._url_in_shell(heard.url)]
        words += signing.options
        words += [f'-H "{_in_shell(name, value)}"' for name, value in sent]
        if heard.body is not None:
            words += ["-d", shlex.quote(heard.body.decode())]
        pasted = (f"# {shouted(each)}: {each} of the URL" for each in _IN_QUERY.findall(shown_url(heard.url)))
        introduced = introductions(self.name, self._config, signing)
        return "\n".join([*introduced, *pasted, " ".join(words)])

    def _url_in_shell(self, url: str) -> str:
        """A key that was pasted along in the query is a variable too."""
        shown = shown_url(url)
        if "=***" not in shown:
            return shlex.quote(shown)
        return f'"{_IN_QUERY.sub(lambda found: f"{found[1]}=${shouted(found[1])}", shown)}"'

    def show(self, results: list[Result]) -> None:
        print(f"{self.name}: {self._vendor.title}, {self._signing.shown}")
        for comment in dict.fromkeys(line for each in results for line in (each.curl or "").splitlines()[:-1]):
            print(f"  {comment}")
        lines = columns([_row(each) for each in results])
        for line, result in zip(lines, results, strict=True):
            print(f"  {line}")
            said = [_words(result), result.remedy and f"-> {result.remedy}", (result.curl or "").rpartition("\n")[2]]
            for text in filter(None, said):
                print(f"           {text}")
        print()


def _where(signing: Signing) -> str:
    """The variable that a setting is from."""
    return f", {signing.variable}" if signing.variable and not (signing.in_file or signing.source) else ""


def _was_silent(result: Result) -> bool:
    return result.status is None and (result.fault or "").startswith("timeout")


def _row(result: Result) -> tuple[str, ...]:
    outcome = result.outcome.upper() if result.outcome == "failed" else result.outcome
    if result.url is None:
        return (outcome, result.test, result.message)
    status = str(result.status) if result.status else "---"
    first = f", first words after {_milliseconds(result.first_output)}" if result.first_output is not None else ""
    took = f"{_milliseconds(result.seconds or 0.0)}{first}"
    return (outcome, result.test, f"{status} in {took}: {result.method} {result.url}{_of(result.model)}")


def _of(model: str | None) -> str:
    return f" ({model})" if model else ""


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.1f} s"


def _words(result: Result) -> str:
    if result.url is None or not result.message:
        return ""
    return f"{result.fault}: {result.message}" if result.fault else result.message


def _one_line(text: str) -> str:
    return " ".join(text.split())[:500]


def _in_shell(name: str, value: str) -> str:
    """Inside double quotes, where ``$`` is to be read."""
    return re.sub(r'([\\"`])', r"\\\1", f"{name}: {value}")
