"""``server.workers``: real processes on one socket, replaced when they die, gone when they should be."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CONFIG = """
server: {port: 0, workers: 2, drain_timeout: 20s}
providers: {simulator: {}}
models: {fast: [simulator/echo]}
"""


class Serving:
    """``skein serve`` as a process of its own, and what it said."""

    def __init__(self, config: Path, *words: str) -> None:
        command = [sys.executable, "-P", "-m", "gateway", "serve", "--config", str(config), "--log-format=json", *words]
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
        self.config = config
        self.process = subprocess.Popen(command, cwd=config.parent, env=env, stderr=subprocess.PIPE, text=True)
        self.said: list[str] = []
        threading.Thread(target=self._listen, daemon=True).start()
        self.seen: set[int] = set()
        try:
            eventually(lambda: self.started() == 2)
        except AssertionError:
            self.process.kill()  # the workers notice
            raise
        [self.url] = {json.loads(line)["url"] for line in self.said if '"event":"started"' in line}

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)

    def events(self, name: str) -> int:
        return sum(f'"event":"{name}"' in line for line in self.said)

    def started(self) -> int:
        return self.events("started")

    def workers(self) -> list[int]:
        found = [pid for pid in processes() if parent_of(pid) == self.process.pid]
        self.seen.update(found)
        return found

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ask(self, model: str = "fast") -> Any:
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": "hello"}]}).encode()
        with urllib.request.urlopen(f"{self.url}/v1/chat/completions", body, timeout=60) as reply:
            return json.load(reply)

    def serves(self, model: str) -> bool:
        with contextlib.suppress(urllib.error.HTTPError):
            return bool(self.ask(model))
        return False


def processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def fields(pid: int) -> list[str]:
    """State and parent of a process; nothing of one that is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return []


def parent_of(pid: int) -> int:
    return int((fields(pid) or ["", "0"])[1])


def alive(pid: int) -> bool:
    return fields(pid)[:1] not in ([], ["Z"])


def eventually(claim: Callable[[], object], within: float = 30.0) -> None:
    deadline = time.monotonic() + within
    while not claim():
        assert time.monotonic() < deadline, f"not within {within} s"
        time.sleep(0.01)


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    config = tmp_path / "skein.yaml"
    config.write_text(CONFIG)
    # What is called gateway where it is started is not what the workers run.
    (tmp_path / "gateway").mkdir()
    (tmp_path / "gateway" / "__init__.py").write_text("raise RuntimeError('not this one')")
    serving = Serving(config)
    serving.workers()
    try:
        yield serving
    finally:
        for pid in [serving.process.pid, *serving.seen]:
            with contextlib.suppress(ProcessLookupError):
                if alive(pid):
                    os.kill(pid, signal.SIGKILL)
        serving.process.wait(20)


def test_a_worker_that_dies_is_replaced_and_all_end_together(serving: Serving) -> None:
    first = serving.workers()
    assert len(first) == 2
    assert serving.ask()["model"] == "echo"

    os.kill(first[0], signal.SIGKILL)
    for _ in range(20):  # also while one is missing
        assert serving.ask()["model"] == "echo"
    eventually(lambda: serving.started() == 3)
    second = serving.workers()
    assert len(second) == 2
    assert first[0] not in second
    os.kill(first[1], signal.SIGKILL)  # now only the newcomer is there
    for _ in range(20):
        assert serving.ask()["model"] == "echo"
    said = [json.loads(line) for line in serving.said]  # nothing but JSON is there
    assert any("was killed by SIGKILL; another one is started" in each.get("message", "") for each in said)
    assert {each["worker"] for each in said if each["event"] == "started"} == {1, 2}
    eventually(lambda: serving.started() == 4)

    serving.workers()
    serving.signal(signal.SIGTERM)
    assert serving.process.wait(15) == 0  # with nothing to wait for, the drain takes no time
    assert not [pid for pid in serving.seen if alive(pid)]


def test_a_reload_reaches_every_worker_and_an_interrupt_ends_them(serving: Serving) -> None:
    serving.config.write_text(CONFIG.replace("fast:", "quick:"))
    serving.signal(signal.SIGHUP)
    eventually(lambda: all(serving.serves("quick") for _ in range(10)))
    serving.signal(signal.SIGINT)
    assert serving.process.wait(15) == 0
    assert not [pid for pid in serving.seen if alive(pid)]


def test_a_running_request_is_drained(serving: Serving) -> None:
    answers: list[Any] = []
    asking = threading.Thread(target=lambda: answers.append(serving.ask("simulator/slow-4s")), daemon=True)
    asking.start()
    running = f"{serving.url}/health/ready"
    with urllib.request.urlopen(running, timeout=20) as reply:
        assert reply.status == 200
    time.sleep(1.0)  # the request is on its way to the simulator, where nothing tells that it has arrived
    serving.signal(signal.SIGTERM)
    assert serving.process.wait(30) == 0
    asking.join(20)
    assert answers[0]["model"] == "slow-4s"


def test_a_second_signal_does_not_wait_and_clients_are_told(serving: Serving) -> None:
    refusals: list[urllib.error.HTTPError] = []

    def ask() -> None:
        try:
            serving.ask("simulator/slow-50s")
        except urllib.error.HTTPError as refusal:
            refusals.append(refusal)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    time.sleep(1.0)
    serving.signal(signal.SIGTERM)
    eventually(lambda: serving.events("stopping") == 2)
    began = time.monotonic()
    serving.signal(signal.SIGTERM)
    assert serving.process.wait(30) == 0
    assert time.monotonic() - began < 10  # the drain alone is longer
    asking.join(20)
    assert refusals[0].code == 503
    assert not [pid for pid in serving.seen if alive(pid)]


def test_a_supervisor_that_is_killed_leaves_no_orphans(serving: Serving) -> None:
    serving.signal(signal.SIGKILL)
    serving.process.wait(20)
    eventually(lambda: not [pid for pid in serving.seen if alive(pid)])


def test_workers_that_only_die_are_given_up(tmp_path: Path) -> None:
    """On a socket nobody can listen on, each ends as soon as it has started."""
    (tmp_path / "skein.yaml").write_text("server: {drain_timeout: 1s}\nproviders: {simulator: {}}\n")
    program = (
        "import argparse, os, socket, sys\n"
        "from gateway.cli import workers\n"
        "workers.FIRST_PAUSE = 0.01\n"
        "listener = socket.socket(type=socket.SOCK_DGRAM)\n"
        "listener.bind(('127.0.0.1', 0))\n"
        "given = argparse.Namespace(config=None, host=None, port=None, log_format='json')\n"
        "sys.exit(workers.supervise(1, given, dict(os.environ), listener))\n"
    )
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 1, ran.stderr
    assert "5 times in a row as soon as it was started: giving up" in ran.stderr


def test_a_worker_that_cannot_be_started_does_not_leave_the_others_running() -> None:
    from gateway.cli import workers

    class Worker:
        """The first place has one, the second never gets one."""

        returncode: int | None = None

        def __init__(self) -> None:
            self.heard: list[signal.Signals] = []
            self.ended = asyncio.Event()

        def send_signal(self, number: signal.Signals) -> None:
            self.heard.append(number)
            self.ended.set()

        async def wait(self) -> int:
            await self.ended.wait()
            return 0

    first = Worker()

    async def start(*words: str, env: dict[str, str], **settings: Any) -> Worker:
        if env["SKEIN_WORKER"] == "1":
            return first
        raise OSError(11, "Resource temporarily unavailable")

    given = argparse.Namespace(config=None, host=None, port=0, log_format="json")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("asyncio.create_subprocess_exec", start)
        patch.setattr(workers, "FIRST_PAUSE", 0.001)
        supervisor = workers._Supervisor(2, [], {}, (), given)
        assert asyncio.run(supervisor.run()) == 1
    assert first.heard == [signal.SIGTERM]


def test_workers_have_the_time_they_are_promised() -> None:
    from gateway.cli import serve, workers

    assert workers.GRACE >= serve.LAST_WORDS + serve.CLOSING + 3


def test_a_worker_takes_what_the_command_line_said() -> None:
    from gateway.cli.workers import command

    given = argparse.Namespace(config="-odd.yaml", host="127.0.0.1", port=0, log_format=None)
    assert command(given, 7, 8)[4:] == [
        "serve", "--fd", "7", "--lifeline", "8", "--config=-odd.yaml", "--host=127.0.0.1", "--port=0",
    ]  # fmt: skip
