"""``skein demo``: agents at work, and everything that goes wrong for them, against a gateway over the simulator."""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
from collections import Counter, deque
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gateway.cli import FAILED, OK, UsageError, add_command
from gateway.cli.printing import columns, remark
from gateway.config.checking import is_loopback
from gateway.config.settings import Server
from gateway.errors import OperatorError, Problem

if TYPE_CHECKING:
    from gateway.cli.demo_traffic import Heard, Traffic

CONFIG = Path(__file__).with_name("demo.yaml")
# Seconds: to the first line of progress; between two updates of it on a terminal; between two lines elsewhere.
FIRST, ON_TERMINAL, ELSEWHERE = 1.0, 0.25, 5.0
# For a gateway of our own to start; for what is under way to end; for the gateway to end.
START, PATIENCE, STOP = 30.0, 4.0, 10.0
# When the configuration is changed, by a mistake and then well: shares of the time, but no later than; and the pause.
RELOADS, LATEST_RELOADS, RELOADS_EVERY = (0.3, 0.6), (30.0, 60.0), 600.0
MOST_REMEMBERED = 5000

DESCRIPTION = """\
Sends what agents send, and more of what goes wrong than any day brings: streams and whole answers, sessions with tools,
embeddings, faults of every kind, clients that leave. Without --url it starts a gateway of its own over the simulator,
on port 4000 if that is free; it ends with the demo, and everything stays on this machine. ^C ends it; the summary comes
all the same."""
EXAMPLES = """\
  skein demo
  skein demo --forever --rate 20
  skein demo --print-config > skein.yaml         to run the demo's gateway by itself
  skein demo --url http://127.0.0.1:4000         to send the traffic to it"""


def add(commands: Any) -> None:
    command = add_command(
        commands, "demo", "make traffic with faults, to see what the gateway shows", DESCRIPTION, EXAMPLES
    )
    command.add_argument("--url", help="a gateway that runs with the demo's configuration; default: one of our own")
    command.add_argument("--key", help="its key (default: $SKEIN_KEY)")
    command.add_argument("--yes", action="store_true", help="send to it though --url is not this machine")
    length = command.add_mutually_exclusive_group()
    length.add_argument("--seconds", type=float, default=60.0, help="how long (default 60)")
    length.add_argument("--forever", action="store_true", help="until ^C")
    command.add_argument("--rate", type=float, default=5.0, help="requests per second (default 5)")
    command.add_argument("--seed", type=int, help="the same traffic each time")
    command.add_argument("--print-config", action="store_true", help="print the demo's configuration, and send nothing")
    command.set_defaults(act=demo)


def demo(arguments: argparse.Namespace, env: Mapping[str, str]) -> int:
    if arguments.print_config:
        print(CONFIG.read_text(encoding="utf-8"), end="")
        return OK
    check(arguments)
    return asyncio.run(_Demo(arguments, env).run())


def check(arguments: argparse.Namespace) -> None:
    """Raises ``UsageError``."""
    if not 0 < arguments.rate <= 200:
        raise UsageError("--rate", f"{arguments.rate:g} cannot be sent", "more than 0, up to 200 per second")
    if not 0 < arguments.seconds < math.inf:
        raise UsageError("--seconds", f"{arguments.seconds:g} is no time", "more than 0, or --forever")
    if arguments.url is None:
        return
    parts = urlsplit(arguments.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError("--url", f'"{arguments.url}" is no URL', "such as http://127.0.0.1:4000")
    if is_loopback(parts.hostname):
        return
    said = (
        f"{parts.hostname} is not this machine: it gets {arguments.rate:g} requests per second, many of them bad ones"
    )
    if not arguments.yes:
        raise UsageError("--url", said, "if that is meant, say --yes")
    remark(f"note: {said}")


class _Demo:
    def __init__(self, arguments: argparse.Namespace, env: Mapping[str, str]) -> None:
        self._arguments, self._env = arguments, env
        self._stopped = asyncio.Event()
        self._seconds = math.inf if arguments.forever else arguments.seconds
        self._key = arguments.key or env.get("SKEIN_KEY") or None

    async def run(self) -> int:
        """0: something was answered. 1: nothing was."""
        from gateway.cli.demo_traffic import Traffic

        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop)
        seed = self._arguments.seed if self._arguments.seed is not None else random.SystemRandom().getrandbits(32)
        async with AsyncExitStack() as stack:
            if self._arguments.url:
                url, gateway = self._arguments.url.rstrip("/").removesuffix("/v1"), None
                remark(f"sending to {url} (seed {seed})")
            else:
                gateway = await stack.enter_async_context(own_gateway(self._env))
                url = gateway.url
                remark(f"gateway on {url}/v1 (seed {seed}), its log in {gateway.log}")
                remark(f"see {url}/metrics and {url}/admin/requests")
            tally = Tally(loop.time, self._seconds)
            traffic = Traffic(url, self._key if gateway is None else None, random.Random(seed), loop.time, tally.note)  # noqa: S311
            tasks = [loop.create_task(traffic.flow(self._arguments.rate)), loop.create_task(tally.show(traffic))]
            if gateway:
                tasks += [loop.create_task(gateway.reload(self._seconds)), loop.create_task(self._mourn(gateway))]
            with suppress(TimeoutError):
                async with asyncio.timeout(None if math.isinf(self._seconds) else self._seconds):
                    await self._stopped.wait()
            tasks[0].cancel()
            await traffic.end(0.0 if self._stopped.is_set() else PATIENCE)
            for task in tasks:
                task.cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(result, Exception):
                    raise result
            tally.close()
            print("\n".join(tally.summary(traffic)), flush=True)
        if not tally.outcomes["ok"]:
            remark(f"nothing was answered by {url}")
        return OK if tally.outcomes["ok"] else FAILED

    def _stop(self) -> None:
        """Asked again, it ends as any program does."""
        self._stopped.set()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().remove_signal_handler(number)

    async def _mourn(self, gateway: OwnGateway) -> None:
        await gateway.process.wait()
        remark(f"the gateway has ended: {gateway.last_words()}")
        self._stopped.set()


# A gateway of our own -------------------------------------------------------------------------------------------------


class OwnGateway:
    """``skein serve`` as a process, with a copy of the demo's configuration that may be changed."""

    def __init__(self, url: str, process: asyncio.subprocess.Process, config: Path, log: Path) -> None:
        self.url, self.process, self.log, self._config = url, process, log, config

    def last_words(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")[-500:].strip()

    async def reload(self, seconds: float) -> None:
        """Now and then another configuration, after one that is refused. The gateway sees that the file has changed."""
        good, number = self._config.read_text(encoding="utf-8"), 0
        first, second = (min(share * seconds, most) for share, most in zip(RELOADS, LATEST_RELOADS, strict=True))
        while True:
            number += 1
            await asyncio.sleep(first)
            self._config.write_text(f"{good}\nresiliense: {{retries: 1}}  # a mistake, on purpose\n", encoding="utf-8")
            await asyncio.sleep(second - first)
            weight = 3 if number % 2 == 0 else 2
            self._config.write_text(good.replace("weight: 3", f"weight: {weight}"), encoding="utf-8")
            await asyncio.sleep(RELOADS_EVERY)


@asynccontextmanager
async def own_gateway(env: Mapping[str, str]) -> AsyncIterator[OwnGateway]:
    """Raises ``OperatorError`` when it does not start."""
    from gateway.cli.demo_vendor import listen
    from gateway.cli.workers import command

    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="skein-demo-")))
        config, log = folder / "skein.yaml", folder / "skein.log"
        shutil.copyfile(CONFIG, config)
        vendor, vendor_url = await listen()
        stack.callback(vendor.close)
        # The pipe ends with us, however we end, and the gateway with the pipe.
        lifeline, held = os.pipe()
        stack.callback(os.close, held)
        own = {name: value for name, value in env.items() if not name.startswith("SKEIN_")}
        with listener(Server().port) as listening, log.open("wb") as said:
            port = listening.getsockname()[1]
            serving = argparse.Namespace(config=str(config), port=port, log_format="json")
            process = await asyncio.create_subprocess_exec(
                *command(serving, listening.fileno(), lifeline),
                env={**own, "SKEIN_DEMO_VENDOR": vendor_url},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                pass_fds=(listening.fileno(), lifeline),
                # ^C is for us to hear; the gateway is told when all is over.
                start_new_session=True,
            )
        os.close(lifeline)
        gateway = OwnGateway(f"http://127.0.0.1:{port}", process, config, log)
        stack.push_async_callback(_end, process)
        if not await _is_live(gateway, port):
            raise OperatorError([Problem("demo", f"its gateway did not start: {gateway.last_words()}")])
        yield gateway


def listener(port: int) -> socket.socket:
    """On loopback: at this port, where examples look for a gateway, or at a free one while somebody else has it."""
    try:
        return socket.create_server(("127.0.0.1", port), backlog=128)
    except OSError:
        return socket.create_server(("127.0.0.1", 0), backlog=128)


async def _is_live(gateway: OwnGateway, port: int) -> bool:
    """Its socket is open from the beginning: it lives when it answers."""
    with suppress(TimeoutError):
        async with asyncio.timeout(START):
            while gateway.process.returncode is None:
                with suppress(OSError):
                    if await _answers(port):
                        return True
                await asyncio.sleep(0.05)
    return False


async def _answers(port: int) -> bool:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        return (await reader.read()).startswith(b"HTTP/1.1 200")
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def _end(process: asyncio.subprocess.Process) -> None:
    # Twice: running requests are ours, and nobody waits for them any more.
    for _ in range(2):
        with suppress(ProcessLookupError):
            process.terminate()
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), STOP)
            return
    process.kill()
    await process.wait()


# What is shown --------------------------------------------------------------------------------------------------------


class Tally:
    """Counts what was heard, and tells of it. ``seconds`` may be infinite."""

    def __init__(self, clock: Any, seconds: float) -> None:
        self._clock, self._seconds, self._began = clock, seconds, clock()
        self.outcomes: Counter[str] = Counter()
        self._statuses: Counter[int] = Counter()
        self._kinds: dict[str, Counter[str]] = {}
        self._served: dict[str, Counter[str]] = {}
        self._times: deque[float] = deque(maxlen=MOST_REMEMBERED)
        self._retried = self._moved = 0
        self._first = first_targets()
        self._on_terminal = sys.stderr is not None and sys.stderr.isatty()

    def note(self, heard: Heard) -> None:
        self.outcomes[heard.outcome] += 1
        kind = self._kinds.setdefault(heard.kind, Counter())
        kind[heard.outcome] += 1
        if heard.outcome == "error" and heard.status:
            self._statuses[heard.status] += 1
        if heard.outcome == "ok":
            self._times.append(heard.seconds)
            self._retried += heard.attempts > 1
            if heard.target:
                self._served.setdefault(heard.model, Counter())[heard.target] += 1
                self._moved += heard.target != self._first.get(heard.model, heard.target)

    async def show(self, traffic: Traffic) -> None:
        await asyncio.sleep(FIRST)
        while True:
            line = self.line(traffic.sent)
            if self._on_terminal:
                width = shutil.get_terminal_size().columns - 1
                with suppress(OSError, ValueError):
                    print(f"\r{line[:width]}\x1b[K", end="", file=sys.stderr, flush=True)
            else:
                remark(line)
            await asyncio.sleep(ON_TERMINAL if self._on_terminal else ELSEWHERE)

    def close(self) -> None:
        if self._on_terminal:
            remark("")

    def line(self, sent: int) -> str:
        elapsed = self._clock() - self._began
        left = "" if math.isinf(self._seconds) else f"/{_minutes(self._seconds)}"
        errors = f" ({_listed(self._statuses)})" if self._statuses else ""
        parts = [
            f"{_minutes(elapsed)}{left}",
            f"sent {sent}",
            f"ok {self.outcomes['ok']}",
            f"errors {self.outcomes['error']}{errors}",
            *(f"{name} {self.outcomes[name]}" for name in ("broken", "left", "unanswered") if self.outcomes[name]),
            f"failovers {self._moved}",
            f"p50 {_seconds(self._quantile(0.5))}",
            f"p95 {_seconds(self._quantile(0.95))}",
        ]
        return "  ".join(parts)

    def summary(self, traffic: Traffic) -> list[str]:
        names = ("ok", "error", "broken", "left", "unanswered")
        table: list[tuple[str, ...]] = [("", "sent", *names)]
        for kind, counts in self._kinds.items():
            table.append((kind, str(counts.total()), *(str(counts[name] or "") for name in names)))
        results: Counter[str] = Counter()
        for agent in traffic.agents:
            results += agent.results
        turns, compactions = (sum(getattr(each, name) for each in traffic.agents) for name in ("turns", "compactions"))
        lines = [
            self.line(traffic.sent),
            "",
            *columns(table),
            "",
            f"errors: {_listed(self._statuses) or 'none'}",
            f"answers after more than one attempt: {self._retried}; by another target than the first: {self._moved}",
            f"agents: {len(traffic.agents)} sessions, {turns} turns, {compactions} compactions; "
            f"tool calls: {_listed(results) or 'none'}",
            f"feedback: {_feedback(traffic.feedback)}",
            *(f"{model or '?'} was served by {_listed(served)}" for model, served in sorted(self._served.items())),
        ]
        if self._statuses[404] > traffic.sent / 3:
            lines.append("most models are not there: is it the demo's configuration? See: skein demo --print-config")
        return lines

    def _quantile(self, share: float) -> float | None:
        times = sorted(self._times)
        return times[min(len(times) - 1, int(share * len(times)))] if times else None


def first_targets() -> dict[str, str]:
    """Of the models that fail over in order, who serves while all is well."""
    import yaml

    models = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["models"]
    return {name: model["targets"][0] for name, model in models.items() if set(model) <= {"targets", "resilience"}}


def _feedback(statuses: Mapping[int, int]) -> str:
    if not statuses:
        return "none given"
    taken = sum(count for status, count in statuses.items() if status < 300)
    refused = {status: count for status, count in statuses.items() if status >= 300}
    return f"{taken} taken" + (f", not taken: {_listed(refused)}" if refused else "")


def _listed(counts: Mapping[Any, int]) -> str:
    return ", ".join(f"{name} ×{count}" for name, count in sorted(counts.items()))


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60:02}:{int(seconds) % 60:02}"


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} s"
