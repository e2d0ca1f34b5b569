"""``skein serve``: what it says at the start, why it cannot listen, and that it needs nobody to listen to it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli.serve import bind, welcome
from gateway.config import Config, Server, from_environment
from gateway.errors import OperatorError

ROOT = Path(__file__).parents[2]
ENV = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextlib.contextmanager
def serving(
    folder: Path, streams: str, *words: str, env: dict[str, str] | None = None, before: str = ""
) -> Iterator[int]:
    """The port of ``skein serve``, started by a shell with its streams redirected."""
    port = free_port()
    command = f"{before}\nexec {sys.executable} -P -m gateway serve --port {port} {' '.join(words)} {streams}"
    process = subprocess.Popen(["sh", "-c", command], cwd=folder, env=ENV | (env or {}))
    try:
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def is_live(port: int) -> bool:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health/live", timeout=5):
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("workers", [1, 2])
def test_it_takes_as_many_open_files_as_it_may_have(tmp_path: Path, workers: int) -> None:
    """Nobody has to know that each connection is one; the workers have as many."""
    (tmp_path / "skein.yaml").write_text(f"server: {{workers: {workers}}}")
    with serving(tmp_path, "2>/dev/null", before="ulimit -Sn 100; ulimit -Hn 300") as port:
        assert is_live(port)
        processes = workers + (workers > 1)
        assert _open_files_allowed(port) == [["300", "300"]] * processes


def _open_files_allowed(port: int) -> list[list[str]]:
    """Soft and hard, of each process that was started for this port."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if re.search(rf"--port[=\0]{port}\0", (process / "cmdline").read_text()):
                limits = (process / "limits").read_text()
                found.append(limits.partition("Max open files")[2].split()[:2])
    return found


@pytest.mark.parametrize("streams", ["2>&-", "2>/dev/full", "<&- >&- 2>&-"])
def test_it_serves_though_nothing_can_be_said(tmp_path: Path, streams: str) -> None:
    with serving(tmp_path, streams) as port:
        assert is_live(port)
        body = b'{"model": "simulator/echo", "messages": [{"role": "user", "content": "hello"}]}'
        for _ in range(3):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/chat/completions", body, timeout=5) as reply:
                assert json.load(reply)["choices"][0]["message"]["content"] == "hello"


def test_lines_for_machines_are_nothing_but_json(tmp_path: Path) -> None:
    with serving(tmp_path, "2>said", env={"SKEIN_PROT": "1"}) as port:
        assert is_live(port)
    said = [json.loads(line) for line in (tmp_path / "said").read_text().splitlines()]
    by_name = {each["event"]: each for each in said}
    assert "SKEIN_PROT" in by_name["config.note"]["message"]
    assert by_name["started"]["url"] == f"http://127.0.0.1:{port}"
    assert by_name["started"]["models"] == 0


def test_lines_for_people_begin_with_a_welcome(tmp_path: Path) -> None:
    with serving(tmp_path, "2>said", "--log-format=console") as port:
        assert is_live(port)
    assert (tmp_path / "said").read_text().startswith(f"skein on http://127.0.0.1:{port}/v1  (config: environment)\n")


def test_a_hangup_while_it_starts_does_not_end_it(tmp_path: Path) -> None:
    """From before the first heavy import on."""
    program = (
        "import os, signal, sys\n"
        "import gateway.__main__ as command\n"
        "sys.argv = ['skein', 'serve', '--port', '-1']\n"
        "sys.modules['gateway.cli'] = type(sys)('gateway.cli')\n"
        "sys.modules['gateway.cli'].run = lambda words: os.kill(os.getpid(), signal.SIGHUP) or 7\n"
        "sys.modules['gateway.cli.printing'] = type(sys)('gateway.cli.printing')\n"
        "sys.modules['gateway.cli.printing'].let_go = print\n"
        "sys.exit(command.main())\n"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=ENV).returncode == 7


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://0.0.0.0:4000", "http://127.0.0.1:4000"),
        ("http://[::]:4000", "http://[::1]:4000"),
        ("http://10.0.0.1:4000", "http://10.0.0.1:4000"),
    ],
)
def test_the_example_can_be_pasted(capsys: pytest.CaptureFixture[str], url: str, here: str) -> None:
    welcome(from_environment({"SKEIN_KEY": "a-long-enough-key"}), url)
    said = capsys.readouterr().err
    assert f"skein on {url}/v1" in said
    assert f'try: curl {here}/v1/chat/completions -H "Authorization: Bearer $KEY" -d ' in said
    assert "a-long-enough-key" not in said
    welcome(from_environment({}), url)
    assert "Authorization" not in capsys.readouterr().err


# What the system says: a word of the remedy.
REMEDIES = {
    OSError(errno.EADDRINUSE, "in use"): "another one running",
    OSError(errno.EACCES, "denied"): "below 1024",
    OSError(errno.EADDRNOTAVAIL, "not available"): "does not have that address",
    OSError(errno.EMFILE, "too many"): "server.host and server.port",
    socket.gaierror(-2, "Name or service not known"): "no address is known",
}


@pytest.mark.parametrize("error", REMEDIES, ids=str)
def test_why_it_cannot_listen_and_what_to_do(monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("socket.getaddrinfo", refuse)
    with pytest.raises(OperatorError) as raised:
        bind(Config(server=Server(host="somewhere")))
    assert REMEDIES[error] in raised.value.problems[0].remedy
