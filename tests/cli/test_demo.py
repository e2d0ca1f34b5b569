"""``skein demo``: it starts a gateway of its own, sends every kind of traffic there is, and ends with a summary."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.cli.demo import CONFIG, Tally, listener
from gateway.cli.demo_agent import LONGEST, Agent
from gateway.cli.demo_traffic import KINDS, Heard, Traffic
from gateway.config.settings import Server
from gateway.routing.strategies import STRATEGIES
from gateway.simulator.models import find
from tests.cli.conftest import Skein
from tests.running import running_gateway

ROOT = Path(__file__).parents[2]
DEMO = [sys.executable, "-P", "-m", "gateway", "demo", "--seed", "7"]
ENV = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
# A kind -> how some of its requests end: in the summary's words.
ENDS = {
    "agent": "ok",
    "title of a session": "ok",
    "chosen by hand": "ok",
    "chat": "ok",
    "embeddings": "ok",
    "over a connection": "ok",
    "mended stream": "ok",
    "broken stream": "broken",
    "all down": "error",
    "refused by the vendor": "error",
    "unknown model": "error",
    "bad JSON": "error",
    "too large": "error",
    "no such path": "error",
    "left before output": "left",
    "left in mid-stream": "left",
}


def table(summary: str) -> dict[str, dict[str, int]]:
    """Kind -> outcome -> count: the table in the summary, read by its columns."""
    lines = summary.splitlines()
    head = next(line for line in lines if line.strip().startswith("sent "))
    columns = [(found.group(), found.start()) for found in re.finditer(r"\S+", head)]
    rows: dict[str, dict[str, int]] = {}
    for line in lines[lines.index(head) + 1 :]:
        if not line:
            break
        name = line[: columns[0][1]].strip()
        counts = {word: re.match(r"\d*", line[start:]) for word, start in columns}
        rows[name] = {word: int(found.group()) for word, found in counts.items() if found and found.group()}
    return rows


@pytest.fixture
def no_usual_port() -> Iterator[None]:
    """Somebody has it: us, or who had it before."""
    with ExitStack() as held:
        with suppress(OSError):
            held.enter_context(socket.create_server(("127.0.0.1", Server().port)))
        yield


def test_the_usual_port_is_taken_or_if_it_is_not_free_another() -> None:
    with listener(0) as first:
        port = first.getsockname()[1]
        with listener(port) as second:
            assert second.getsockname()[1] != port
    with listener(port) as third:
        assert third.getsockname() == ("127.0.0.1", port)


@pytest.mark.usefixtures("no_usual_port")
def test_a_short_demo_shows_every_kind(tmp_path: Path) -> None:
    ran = subprocess.run(
        [*DEMO, "--seconds", "3", "--rate", "30"], cwd=tmp_path, env=ENV, capture_output=True, text=True, timeout=90
    )
    assert ran.returncode == 0, ran.stderr
    rows = table(ran.stdout)
    assert set(rows) == {kind.name for kind in KINDS}
    assert {kind: end for kind, end in ENDS.items() if not rows[kind].get(end)} == {}
    assert sum(row.get("unanswered", 0) for row in rows.values()) == 0
    assert re.search(r"agents: \d+ sessions, \d+ turns", ran.stdout)
    url = re.search(r"gateway on (\S+)/v1", ran.stderr)
    assert url is not None
    assert f"see {url[1]}/metrics and {url[1]}/admin/requests" in ran.stderr
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url[1], timeout=5)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_ends_it_with_the_summary(tmp_path: Path, number: int) -> None:
    with subprocess.Popen(
        [*DEMO, "--forever", "--rate", "30"], cwd=tmp_path, env=ENV, stdout=-1, stderr=-1, text=True
    ) as demo:
        assert demo.stderr is not None
        said = ""
        # The first line of progress: something was sent by then.
        while " sent " not in said:
            said = demo.stderr.readline()
            assert said, "it ended by itself"
        demo.send_signal(number)
        out, _ = demo.communicate(timeout=30)
    assert demo.returncode == 0
    assert "agents: " in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--url", "http://192.0.2.1:4000"], "192.0.2.1 is not this machine"),
        (["--url", "4000"], "is no URL"),
        (["--rate", "0"], "cannot be sent"),
        (["--seconds", "nan"], "is no time"),
    ],
)
def test_what_cannot_be_meant_is_a_mistake(skein: Skein, words: list[str], said: str) -> None:
    ran = skein("demo", *words)
    assert (ran.code, said in ran.err) == (2, True)


def test_where_nothing_answers_it_fails(skein: Skein) -> None:
    ran = skein("demo", "--url", "http://127.0.0.1:9/v1", "--seconds", "0.2", "--rate", "50")
    assert (ran.code, "nothing was answered by http://127.0.0.1:9\n" in ran.err) == (1, True)


def test_help_and_configuration_are_printed(skein: Skein) -> None:
    assert "--forever" in skein("demo", "--help").out
    assert skein("demo", "--print-config").out == CONFIG.read_text()
    assert skein("check", "--config", str(CONFIG)).code == 0


def test_every_strategy_is_shown() -> None:
    models: dict[str, Any] = yaml.safe_load(CONFIG.read_text())["models"]
    assert {each.get("strategy", "priority") for each in models.values()} == set(STRATEGIES)


def test_every_simulated_model_of_the_configuration_is_there() -> None:
    providers: dict[str, Any] = yaml.safe_load(CONFIG.read_text())["providers"]
    names = [name for provider in providers.values() for name in provider["deployments"].values()]
    assert [find(name).name for name in names] == names


def test_feedback_is_given_and_a_gateway_without_it_is_none_the_worse() -> None:
    with running_gateway("providers: {simulator: {}}") as gateway:

        async def story() -> Traffic:
            traffic = Traffic(gateway.url, None, random.Random(1), asyncio.get_running_loop().time, lambda _: None)
            heard = Heard(kind="chat", model="x", outcome="ok", status=200, headers={"x-request-id": "nobody's"})
            await traffic.tell(heard, {"verdict": "good"})
            await traffic.tell(Heard(kind="chat", model="x", outcome="error"), {"verdict": "good"})
            await traffic.end(0)
            return traffic

        traffic = asyncio.run(story())
    assert list(traffic.feedback.values()) == [1]
    said = "\n".join(Tally(lambda: 0.0, 1.0).summary(traffic))
    assert re.search(r"feedback: (1 taken|0 taken, not taken: \d+ ×1)", said)


def test_an_agent_meets_every_end_of_a_tool_call_and_is_compacted() -> None:
    agent = Agent("demo-1", random.Random(3))
    calls = [("read_file", '{"path":"a"}'), ("search", '{"query":'), ("oracle", "{}"), None]
    lengths = []
    for turn in range(200):
        call = calls[turn % len(calls)]
        function = {"name": call[0], "arguments": call[1]} if call else None
        ended = agent.hear({"tool_calls": [{"id": f"c{turn}", "function": function}]} if call else {"content": "done"})
        assert ended is (call is None)
        lengths.append(sum(len((message.get("content") or "").split()) for message in agent.request()["messages"]))
    assert set(agent.results) == {"ok", "error", "invalid arguments", "unknown tool", "unanswered"}
    falls = sum(after < before * 0.8 for before, after in pairwise(lengths))
    assert agent.compactions == falls > 0
    assert max(lengths) < LONGEST * 2


def test_the_same_seed_sends_the_same_requests() -> None:
    async def sent() -> list[tuple[str, str]]:
        heard: list[tuple[str, str]] = []
        now = 0.0

        def clock() -> float:
            nonlocal now
            now += 10.0
            return now

        traffic = Traffic("http://127.0.0.1:9", None, random.Random(5), clock, lambda each: None)

        async def ask(kind: str, model: str, asked: Any) -> Heard:
            heard.append((kind, repr(asked)))
            if len(heard) >= 100:
                flow.cancel()
            return Heard(kind=kind, model=model)

        traffic.ask = ask  # type: ignore[method-assign]
        flow = asyncio.get_running_loop().create_task(traffic.flow(50))
        with suppress(asyncio.CancelledError):
            await flow
        await traffic.end(0)
        return heard[:100]

    first = asyncio.run(sent())
    assert len(first) == 100
    assert {kind for kind, _ in first} == {kind.name for kind in KINDS}
    assert asyncio.run(sent()) == first
