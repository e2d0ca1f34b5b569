"""``server.metrics_port``: a port per process, each with numbers of its own; who dies takes only those along."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.backends.prometheus import promtool
from tests.cli.test_workers import ROOT, Serving, alive, eventually

from .setting import Page

CONFIG = """
server: {{port: 0, workers: {workers}, metrics_port: {port}}}
providers: {{simulator: {{}}}}
models: {{fast: [simulator/echo]}}
"""


def free_ports(count: int) -> int:
    """The first of so many in a row that nobody has."""
    for first in range(21_000, 30_000, count):
        taken = []
        try:
            for port in range(first, first + count):
                taken.append(socket.create_server(("127.0.0.1", port)))
            return first
        except OSError:
            continue
        finally:
            for each in taken:
                each.close()
    raise AssertionError("no ports are free")


def fetched(url: str) -> str:
    with urllib.request.urlopen(url, timeout=20) as reply:
        return reply.read().decode()


def served(port: int) -> float:
    """Requests that this process has answered well."""
    return Page(fetched(f"http://127.0.0.1:{port}/metrics")).total("skein_requests_total", outcome="ok")


def answers(port: int) -> bool:
    try:
        return bool(fetched(f"http://127.0.0.1:{port}/metrics"))
    except OSError:
        return False


class TwoWorkers(Serving):
    """``first`` and ``first + 1`` are the workers' ports."""

    first: int

    def pid_of(self, number: int) -> int:
        """The process of a worker, by what it was told at its start."""
        told = f"SKEIN_WORKER={number}".encode()
        [pid] = [pid for pid in self.workers() if told in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")]
        return pid


ENV = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}


def command(config: Path) -> list[str]:
    return [sys.executable, "-P", "-m", "gateway", "serve", "--config", str(config), "--log-format=json"]


@contextmanager
def one_worker(folder: Path, port: int) -> Iterator[str]:
    """Its URL."""
    config = folder / "skein.yaml"
    config.write_text(CONFIG.format(workers=1, port=port))
    process = subprocess.Popen(command(config), cwd=folder, env=ENV, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        said = (json.loads(line) for line in process.stderr)
        yield next(line["url"] for line in said if line["event"] == "started")
    finally:
        process.terminate()
        assert process.wait(20) == 0


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[TwoWorkers]:
    first = free_ports(2)
    config = tmp_path / "skein.yaml"
    config.write_text(CONFIG.format(workers=2, port=first))
    serving = TwoWorkers(config)
    serving.first = first
    serving.workers()
    try:
        yield serving
    finally:
        for pid in [serving.process.pid, *serving.seen]:
            if alive(pid):
                os.kill(pid, signal.SIGKILL)
        serving.process.wait(20)


def test_each_worker_has_its_own_numbers_and_its_successor_its_port(serving: TwoWorkers) -> None:
    ports = (serving.first, serving.first + 1)
    for count in range(1, 41):
        serving.ask()
        assert sum(map(served, ports)) == count
    before = {port: served(port) for port in ports}

    os.kill(serving.pid_of(1), signal.SIGKILL)
    eventually(lambda: serving.started() == 3)
    eventually(lambda: answers(ports[0]))
    assert (served(ports[0]), served(ports[1])) == (0, before[ports[1]])
    for count in range(1, 21):
        serving.ask()
        # What the survivors have served since, and before.
        assert sum(map(served, ports)) == before[ports[1]] + count

    said = [json.loads(line) for line in serving.said]
    urls = [(line["worker"], line["url"]) for line in said if line["event"] == "metrics.started"]
    assert sorted(urls) == [
        (1, f"http://127.0.0.1:{ports[0]}/metrics"),
        (1, f"http://127.0.0.1:{ports[0]}/metrics"),
        (2, f"http://127.0.0.1:{ports[1]}/metrics"),
    ]
    with pytest.raises(urllib.error.HTTPError) as refused:
        fetched(f"{serving.url}/metrics")
    told = json.load(refused.value)["error"]
    assert (refused.value.code, told["code"]) == (404, "metrics_elsewhere")
    assert f"{ports[0]} to {ports[1]}" in told["message"]

    serving.workers()
    serving.signal(signal.SIGTERM)
    assert serving.process.wait(20) == 0
    assert not any(map(answers, ports))


def test_one_worker_serves_them_on_both_ports(tmp_path: Path) -> None:
    port = free_ports(1)
    with one_worker(tmp_path, port) as url:
        for count in range(1, 4):
            asked = json.dumps({"model": "fast", "messages": [{"role": "user", "content": "hi"}]}).encode()
            urllib.request.urlopen(f"{url}/v1/chat/completions", asked, timeout=20).close()
            assert served(port) == count == served(int(url.rpartition(":")[2]))
        checked = promtool("check", "metrics", stdin=fetched(f"http://127.0.0.1:{port}/metrics"))
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_port_that_is_taken_is_said_and_nothing_starts(tmp_path: Path, workers: int) -> None:
    first = free_ports(2)
    with socket.create_server(("127.0.0.1", first + workers - 1)):
        config = tmp_path / "skein.yaml"
        config.write_text(CONFIG.format(workers=workers, port=first))
        ran = subprocess.run(command(config), cwd=tmp_path, env=ENV, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 2, ran.stderr
    assert f"cannot serve metrics on 127.0.0.1:{first + workers - 1}" in ran.stderr
    assert "server.metrics_port" in ran.stderr
    assert "Traceback" not in ran.stderr
