"""The process itself: how it starts, is told to stop, and refuses to start."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.running import Surface
from tests.scripted import Answer, ScriptedVendor, Silent, Slow, play

from .setting import QUICK, Client, at, body, eventually, merged, request

PATIENT = {"timeouts": {"first_token": "20s", "whole": "20s", "idle": "20s", "total": "60s"}}


class Process:
    """``python -m gateway serve`` with a configuration file."""

    def __init__(self, file: Path, config: dict[str, Any], *arguments: str) -> None:
        self.file = file
        file.write_text(json.dumps(config))
        self.errors = file.with_suffix(".log")
        environment = {"PATH": os.environ["PATH"], "HOME": str(file.parent)}
        with self.errors.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "serve", "--config", str(file), "--log-format", "json", *arguments],
                stderr=out,
                stdout=out,
                env=environment,
            )

    def lines(self, name: str) -> list[dict[str, Any]]:
        found = []
        for line in self.errors.read_text().splitlines():
            with contextlib.suppress(ValueError):
                said = json.loads(line)
                if isinstance(said, dict) and said.get("event") == name:
                    found.append(said)
        return found

    def started(self) -> str:
        eventually(lambda: self.lines("started") or self.process.poll() is not None, within=30)
        assert self.process.poll() is None, self.errors.read_text()
        return self.lines("started")[0]["url"]

    def ended(self, within: float = 30.0) -> int:
        return self.process.wait(within)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)


@contextlib.contextmanager
def serving(tmp_path: Path, vendor: ScriptedVendor, *arguments: str, **changes: Any) -> Iterator[tuple[Process, str]]:
    config = {
        "providers": {"primary": at(vendor.base_url, "primary")},
        "models": {"m": {"targets": ["primary/gpt-4.1"]}},
        "resilience": merged(QUICK, PATIENT),
        "server": {"lane": "on" if Surface.lane else "off"},
    }
    process = Process(tmp_path / "skein.yaml", merged(config, changes), *(arguments or ("--port", "0")))
    try:
        yield process, process.started()
    finally:
        if process.process.poll() is None:
            process.process.kill()
            process.process.wait(5)


def get(url: str, path: str) -> Any:
    with Client(url) as client:
        client.send(request(b"", path, "GET", content_length="", content_type=""))
        return client.reply()


def test_a_drain_lets_streams_finish_and_takes_nothing_new(tmp_path: Path) -> None:
    with ScriptedVendor.in_thread() as vendor, serving(tmp_path, vendor) as (process, url):
        vendor.otherwise = Silent("after_output", seconds=4.0)
        with Client(url) as client, Client(url) as other, Client(url) as watcher:
            for waiting in (other, watcher):  # connections from before: the listener itself may be closed
                waiting.send(request(b"", "/health/live", "GET", content_length="", content_type=""))
                assert waiting.reply().status == 200
            client.post(body(True))
            client.see(b"Hello")
            process.signal(signal.SIGTERM)
            eventually(lambda: process.lines("stopping"))
            assert process.lines("stopping")[0]["running"] == 1
            watcher.send(request(b"", "/health/ready", "GET", content_length="", content_type=""))
            ready = watcher.reply()
            assert (ready.status, ready.json["status"], ready.json["running"]) == (503, "draining", 1)
            watcher.send(request(b"", "/health/live", "GET", content_length="", content_type=""))
            assert watcher.reply().status == 200
            other.post(body())
            told = other.reply()
            assert (told.status, told.error["code"], told.error["origin"]) == (503, "gateway_draining", "gateway")
            assert told.headers["retry-after"] == "1"
            told = client.reply()
            assert (told.text, told.done) == ("Hello from the scripted vendor.", True)
        assert process.ended() == 0
        assert vendor.outcomes["aborted"] == 0
        assert len(process.lines("request.finished")) == 2


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_what_takes_too_long_is_ended_and_told(tmp_path: Path, stream: bool) -> None:
    drain = {"server": {"drain_timeout": "300ms"}}
    with ScriptedVendor.in_thread() as vendor, serving(tmp_path, vendor, **drain) as (process, url):
        vendor.otherwise = play(Answer(chunks=("word ",) * 4000), Slow(between=0.01))
        with Client(url) as client:
            client.post(body(stream))
            vendor.wait_until(lambda each: each.received and each.received[0].phase in ("mid_stream", "body"))
            began = time.monotonic()
            process.signal(signal.SIGTERM)
            told = client.reply()
            assert 0.25 < time.monotonic() - began < 10
            assert told.error["code"] == "gateway_draining"
            assert told.error["origin"] == "gateway"
            assert (told.status, told.whole) == (200 if stream else 503, True)
            assert not stream or not told.done
        assert process.ended() == 0
        vendor.wait_until(lambda each: each.aborted)


@pytest.mark.parametrize("at_point", ["before_head", "after_role"])
def test_what_has_not_begun_is_ended_and_told_too(tmp_path: Path, at_point: Any) -> None:
    drain = {"server": {"drain_timeout": "200ms"}, "resilience": {"keepalive": "100ms"}}
    with ScriptedVendor.in_thread() as vendor, serving(tmp_path, vendor, **drain) as (process, url):
        vendor.otherwise = Silent(at_point)
        with Client(url) as early, Client(url) as whole:
            early.post(body(True))
            early.see(b": keep-alive")
            whole.post(body())
            vendor.wait_until(lambda each: each.playing == 2)
            process.signal(signal.SIGTERM)
            told = early.reply()
            assert (told.status, told.error["code"]) == (200, "gateway_draining")
            told = whole.reply()
            assert (told.status, told.error["code"]) == (503, "gateway_draining")
        assert process.ended() == 0


def test_with_nothing_running_it_leaves_at_once(tmp_path: Path) -> None:
    with ScriptedVendor.in_thread() as vendor, serving(tmp_path, vendor) as (process, url):
        assert get(url, "/health/ready").status == 200
        began = time.monotonic()
        process.signal(signal.SIGTERM)
        assert process.ended() == 0
        assert time.monotonic() - began < 10


def test_idle_connections_do_not_hold_it_up(tmp_path: Path) -> None:
    with (
        ScriptedVendor.in_thread() as vendor,
        serving(tmp_path, vendor) as (process, url),
        Client(url) as used,
        Client(url),
    ):
        used.post(body())
        assert used.reply().status == 200
        began = time.monotonic()
        process.signal(signal.SIGINT)
        assert process.ended() == 0
        assert time.monotonic() - began < 10


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with ScriptedVendor.in_thread() as vendor, serving(tmp_path, vendor) as (process, url):
        vendor.otherwise = Silent("after_output")
        with Client(url) as client:
            client.post(body(True))
            client.see(b"Hello")
            process.signal(signal.SIGTERM)
            eventually(lambda: process.lines("stopping"))
            began = time.monotonic()
            process.signal(signal.SIGTERM)
            process.ended()
            assert time.monotonic() - began < 10


def test_a_hangup_reads_the_configuration_again(tmp_path: Path) -> None:
    with ScriptedVendor.in_thread() as vendor, serving(tmp_path, vendor) as (process, url):
        config = json.loads(process.file.read_text())
        process.file.write_text(json.dumps(config | {"aliases": {"nick": "m"}}))
        process.signal(signal.SIGHUP)
        eventually(lambda: process.lines("config.reloaded"))
        assert get(url, "/v1/models/nick").status == 200
        process.file.write_text("models: [")
        process.signal(signal.SIGHUP)
        eventually(lambda: process.lines("config.refused"))
        assert get(url, "/v1/models/nick").status == 200
        assert process.process.poll() is None


# --- what keeps it from starting


def refused(tmp_path: Path, config: dict[str, Any], *arguments: str) -> str:
    process = Process(tmp_path / "skein.yaml", config, *arguments)
    try:
        assert process.ended() == 2
    finally:
        process.process.kill()
    return process.errors.read_text()


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = refused(tmp_path, {}, "--port", str(port))
    assert f"127.0.0.1:{port}" in said
    assert "--port" in said
    assert "Traceback" not in said


def test_open_to_everybody(tmp_path: Path) -> None:
    said = refused(tmp_path, {"server": {"host": "0.0.0.0"}}, "--port", "0")
    assert "access.mode" in said
    assert "Traceback" not in said
    said = refused(tmp_path, {}, "--host", "0.0.0.0", "--port", "0")
    assert "access" in said


def test_every_mistake_at_once(tmp_path: Path) -> None:
    config = {"modles": {}, "providers": {"x": {"vendor": "opnai"}}, "resilience": {"retries": "many"}}
    said = refused(tmp_path, config)
    assert all(word in said for word in ("modles", "opnai", "retries", "did you mean"))
    assert "Traceback" not in said


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    process = Process(tmp_path / "skein.yaml", {}, "--config", str(tmp_path / "none.yaml"))
    assert process.ended() == 2
    assert "none.yaml" in process.errors.read_text()
