"""A real Prometheus for a test: its own port, its own data, gone afterwards; and the tools that come with it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

import pytest

Held = TypeVar("Held")

PACKAGES = {
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "amtool": "prometheus-alertmanager",
    "redis-server": "redis-server",
}
"""Program -> the Debian package it is in."""

LISTENING = re.compile(r'msg="?Listening on"? .*address=(\S+)')
# Proxies of the environment are for other hosts than this one.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Sample:
    """``labels`` has the metric's name under ``__name__``; ``time`` in seconds since the epoch."""

    labels: dict[str, str]
    value: float
    time: float


@dataclass(frozen=True)
class Series:
    """``points``: time and value."""

    labels: dict[str, str]
    points: list[tuple[float, float]]


@dataclass(frozen=True)
class Exemplar:
    """``series``: the labels of the bucket or counter it belongs to; ``labels``: its own, as ``trace_id``."""

    series: dict[str, str]
    labels: dict[str, str]
    value: float
    time: float


class QueryFailed(Exception):
    """What Prometheus says to an expression or a request it refuses."""


class Prometheus:
    """``with Prometheus({"app": [url]}) as prometheus``: ready when entered, killed and its data removed at the end.

    ``scrape``: job -> where its metrics are, as URLs (no path: ``/metrics``) or as ``host:port``. ``rule_files``: paths
    as they are. ``scrape_configs``: more of them, as in the configuration file. ``scrape_interval`` is the interval of
    rules too, in seconds. Prometheus finds its targets five seconds after its start, whatever it is told: share one
    among tests, and start it before other things that take time.
    """

    def __init__(
        self,
        scrape: Mapping[str, Sequence[str]] | None = None,
        *,
        rule_files: Sequence[str | Path] = (),
        scrape_interval: float = 1.0,
        scrape_configs: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        every = f"{round(scrape_interval * 1000)}ms"
        self.config = {
            "global": {"scrape_interval": every, "evaluation_interval": every},
            "rule_files": [str(Path(path).resolve()) for path in rule_files],
            "scrape_configs": [*(_job(name, urls) for name, urls in (scrape or {}).items()), *scrape_configs],
        }
        self.url = ""
        self.directory = Path()
        self.log: deque[str] = deque(maxlen=200)
        self._listening = threading.Event()
        self._ended = contextlib.ExitStack()

    # --- coming and going

    def __enter__(self) -> Prometheus:
        program = located("prometheus")
        with contextlib.ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="prometheus-")))
            self.directory = directory
            config = directory / "prometheus.yml"
            config.write_text(json.dumps(self.config))  # JSON is YAML
            process = subprocess.Popen(
                [
                    program,
                    f"--config.file={config}",
                    f"--storage.tsdb.path={directory / 'data'}",
                    "--web.listen-address=127.0.0.1:0",
                    "--enable-feature=exemplar-storage",
                ],
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            stack.callback(_killed, process)
            reader = threading.Thread(target=self._read, args=(process,), name="prometheus-log", daemon=True)
            reader.start()
            self._await_ready()
            self._ended = stack.pop_all()
        return self

    def __exit__(self, *failure: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Kill it and remove its data. May be called twice."""
        self._ended.close()

    def _await_ready(self, timeout: float = 30.0) -> None:
        if not self._listening.wait(timeout) or not self.url:
            raise AssertionError("Prometheus did not start:\n" + self.told())
        self.wait_until(lambda _: self._get("/-/ready"), timeout)

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            self.log.append(line)
            if not self.url and (found := LISTENING.search(line)):
                self.url = f"http://{found[1]}"
                self._listening.set()
        self._listening.set()  # or ended before it came to that
        process.stderr.close()

    # --- asking

    def query(self, expression: str, time: float | None = None) -> list[Sample]:
        """An instant query, now or at a time; a scalar is one sample without labels."""
        data = self.api("query", query=expression, time=time)
        if data["resultType"] == "scalar":
            return [_sample({}, data["result"])]
        return [_sample(each["metric"], each["value"]) for each in data["result"]]

    def value(self, expression: str, time: float | None = None) -> float | None:
        """The value of the one sample there is, ``None`` where there is none; ``AssertionError`` for more."""
        samples = self.query(expression, time)
        assert len(samples) < 2, f"{expression} has {len(samples)} samples: {samples}"
        return samples[0].value if samples else None

    def query_range(self, expression: str, start: float, end: float, step: float = 1.0) -> list[Series]:
        data = self.api("query_range", query=expression, start=start, end=end, step=step)
        return [Series(each["metric"], [(at, float(value)) for at, value in each["values"]]) for each in data["result"]]

    def exemplars(self, expression: str, start: float | None = None, end: float | None = None) -> list[Exemplar]:
        """The exemplars of every series the expression selects; without times, those of the last hour."""
        now = time.time()
        start, end = now - 3600 if start is None else start, now + 60 if end is None else end
        return [
            Exemplar(group["seriesLabels"], each["labels"], float(each["value"]), float(each["timestamp"]))
            for group in self.api("query_exemplars", query=expression, start=start, end=end)
            for each in group["exemplars"]
        ]

    def targets(self) -> list[dict[str, Any]]:
        """The active targets, as the API has them: ``labels``, ``health``, ``lastError``, ``scrapeUrl``, …"""
        return self.api("targets", state="active")["activeTargets"]

    def rules(self) -> list[dict[str, Any]]:
        """Every rule of every group, as the API has them: ``name``, ``type``, ``health``, ``state``, …"""
        return [rule for group in self.api("rules")["groups"] for rule in group["rules"]]

    def alerts(self) -> list[dict[str, Any]]:
        """The alerts that are pending or firing: ``labels``, ``annotations``, ``state``, …"""
        return self.api("alerts")["alerts"]

    def api(self, name: str, **parameters: Any) -> Any:
        """``data`` of ``/api/v1/{name}``; ``QueryFailed`` with what Prometheus says otherwise."""
        given = {key: value for key, value in parameters.items() if value is not None}
        return json.loads(self._get(f"/api/v1/{name}?{urlencode(given)}"))["data"]

    # --- waiting

    def wait_until(self, claim: Callable[[Prometheus], Held], timeout: float = 20.0) -> Held:
        """What the claim gives as soon as that is true; ``AssertionError`` with the targets and the log otherwise.

        A claim that raises ``QueryFailed`` does not hold yet.
        """
        deadline, last = time.monotonic() + timeout, ""
        while time.monotonic() < deadline:
            try:
                if held := claim(self):
                    return held
            except QueryFailed as error:
                last = f"{error}\n"
            time.sleep(0.05)
        raise AssertionError(f"not within {timeout} s\n{last}{self.told()}")

    def wait_scraped(self, timeout: float = 20.0) -> None:
        """Return as soon as every target has been scraped at least once and is up."""
        self.wait_until(lambda _: len(self.query("up == 1")) >= len(self.targets()) > 0, timeout)

    def told(self) -> str:
        """Its targets, if it answers, and the end of its log."""
        with contextlib.suppress(QueryFailed, OSError, ValueError):
            for target in self.targets():
                self.log.append(f"{target['scrapeUrl']} {target['health']} {target['lastError']}\n")
        return "".join(self.log)

    def _get(self, path: str) -> str:
        try:
            with OPENER.open(self.url + path, timeout=10) as reply:
                return reply.read().decode()
        except urllib.error.HTTPError as error:
            raise QueryFailed(error.read().decode()) from None


def promtool(*arguments: str | Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run promtool; the exit status and the texts are the caller's to judge."""
    return _run("promtool", arguments, stdin)


def amtool(*arguments: str | Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run amtool, Alertmanager's promtool."""
    return _run("amtool", arguments, stdin)


def located(program: str, env: Mapping[str, str] = os.environ) -> str:
    """The program's path. Where it is missing the test is skipped, but fails when ``CI`` is set: there nothing is."""
    if found := shutil.which(program, path=env.get("PATH")):
        return found
    message = f"{program} is missing: it is in the Debian package {PACKAGES[program]}"
    if env.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def _run(program: str, arguments: Sequence[str | Path], stdin: str | None) -> subprocess.CompletedProcess[str]:
    command = [located(program), *map(str, arguments)]
    return subprocess.run(command, input=stdin or "", capture_output=True, text=True, timeout=60, check=False)


def _job(name: str, urls: Sequence[str]) -> dict[str, Any]:
    return {"job_name": name, "static_configs": [_target(url) for url in urls]}


def _target(url: str) -> dict[str, Any]:
    split = urlsplit(url if "://" in url else f"http://{url}")
    labels = {"__scheme__": split.scheme, "__metrics_path__": split.path.rstrip("/") or "/metrics"}
    return {"targets": [split.netloc], "labels": labels}


def _sample(labels: dict[str, str], pair: Sequence[Any]) -> Sample:
    return Sample(labels, float(pair[1]), float(pair[0]))


def _killed(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
