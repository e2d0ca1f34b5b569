"""``skein bench``: CPU microseconds per request and per streamed event, beside a bare nginx, in one run.

Four processes: a mock vendor that answers from memory, the gateway, nginx, and this one, which makes the load. The
proxy under test has one core, the rest share the others. Trust the ratios: machines differ, and share their cores.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from gateway.cli import FAILED, OK, UsageError, add_command

EVENTS = 100

DESCRIPTION = "Measures CPU microseconds per request and per streamed event, beside a bare nginx where there is one."
EXAMPLES = """\
  skein bench
  skein bench --requests 300 --rounds 1 --json
  skein bench --translation
  skein bench --routing --picture docs/dynamic.svg"""


NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_buffer_size 1m; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream vendor {{ server 127.0.0.1:{vendor}; keepalive 256; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port}; keepalive_requests 1000000;
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    location / {{ proxy_pass http://vendor; }}
  }}
}}
"""
GATEWAY = """
server: {{port: {port}}}
providers: {{vendor: {{vendor: openai_compatible, base_url: "http://127.0.0.1:{vendor}/v1", api_key: bench-key-0123}}}}
models: {{bench: {{targets: [vendor/bench]}}}}
observe: {{prices: {{bench: {{input: 1, output: 2}}}}{traces}}}
"""
TRACES = ', otlp: {{endpoint: "http://127.0.0.1:{vendor}"}}'


class Figure(msgspec.Struct, frozen=True):
    """One measurement: medians over the rounds."""

    proxy: str
    case: str
    requests: int
    cpu_us_per_request: float
    cpu_us_per_event: float | None
    requests_per_second: float


def add(commands: Any) -> None:
    command = add_command(commands, "bench", "measure the gateway's own overhead", DESCRIPTION, EXAMPLES)
    command.add_argument("--requests", type=int, default=1500, help="requests of each case and round (default 1500)")
    command.add_argument("--connections", type=int, default=32, help="connections at a time (default 32)")
    command.add_argument("--rounds", type=int, default=3, help="interleaved rounds; the median counts (default 3)")
    command.add_argument("--json", action="store_true", help="figures as JSON")
    command.add_argument(
        "--translation", action="store_true", help="instead: what reading and writing each vendor's dialect costs"
    )
    command.add_argument(
        "--routing", action="store_true", help="instead: how well the strategy dynamic chooses, in a simulated world"
    )
    command.add_argument("--picture", metavar="FILE", help="of --routing: also write the curves, as SVG")
    command.set_defaults(act=bench)


def bench(arguments: argparse.Namespace, env: Mapping[str, str]) -> int:
    if arguments.picture and not arguments.routing:
        raise UsageError("--picture", "is drawn of the simulated world alone", "add --routing")
    if arguments.translation:
        from gateway.cli import bench_translation

        costs = bench_translation.bench(arguments)
        print(msgspec.json.encode(costs).decode()) if arguments.json else bench_translation.show(costs)
        return OK
    if arguments.routing:
        from gateway.cli import bench_routing

        chosen = bench_routing.bench()
        if arguments.picture:
            bench_routing.write(chosen, arguments.picture)
        print(msgspec.json.encode(chosen).decode()) if arguments.json else bench_routing.show(chosen)
        return OK
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        vendor_port = free_port()
        stack.enter_context(process([sys.executable, "-m", "gateway.cli.bench_vendor", str(vendor_port)], vendor_port))
        # All default telemetry; traces exported, every one of them; and nothing told to anybody.
        proxies = {
            "skein": stack.enter_context(skein(folder / "plain", vendor_port)),
            "traced": stack.enter_context(skein(folder / "traced", vendor_port, TRACES.format(vendor=vendor_port))),
            "untold": stack.enter_context(skein(folder / "untold", vendor_port, options=("--untold",))),
        }
        if shutil.which("nginx"):
            proxies["nginx"] = stack.enter_context(nginx(folder, vendor_port))
        else:
            print("nginx is not installed: no comparison", file=sys.stderr)
        figures = measure(proxies, arguments)
    if arguments.json:
        print(msgspec.json.encode(figures).decode())
    else:
        show(figures)
    return OK if figures else FAILED


def measure(proxies: Mapping[str, tuple[int, int]], arguments: argparse.Namespace) -> list[Figure]:
    """``proxies``: name -> (port, process id)."""
    rounds: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for number in range(arguments.rounds):
        for case, body in CASES.items():
            for proxy, (port, pid) in proxies.items():
                if sys.stderr.isatty():
                    print(f"\rround {number + 1}: {case:12} {proxy:8}", end="", file=sys.stderr)
                request = http_request(port, body)
                asyncio.run(load(port, request, arguments.connections * 2, arguments.connections))
                before, began = cpu_seconds(pid), os.times().elapsed
                asyncio.run(load(port, request, arguments.requests, arguments.connections))
                spent, took = cpu_seconds(pid) - before, os.times().elapsed - began
                rounds.setdefault((proxy, case), []).append((spent, took))
    print(file=sys.stderr)
    figures = []
    for (proxy, case), measured in rounds.items():
        spent = sorted(each[0] for each in measured)[len(measured) // 2]
        took = sorted(each[1] for each in measured)[len(measured) // 2]
        cpu = spent / arguments.requests * 1e6
        per_event = cpu / EVENTS if case == "stream" else None
        figures.append(Figure(proxy, case, arguments.requests, cpu, per_event, arguments.requests / max(took, 1e-3)))
    return figures


def show(figures: list[Figure]) -> None:
    print(f"{'proxy':8} {'case':8} {'CPU µs/request':>15} {'CPU µs/event':>13} {'requests/s':>11}")
    for each in figures:
        event = f"{each.cpu_us_per_event:.1f}" if each.cpu_us_per_event is not None else ""
        print(
            f"{each.proxy:8} {each.case:8} {each.cpu_us_per_request:15.0f} {event:>13} {each.requests_per_second:11.0f}"
        )


# Load -----------------------------------------------------------------------------------------------------------------

_MESSAGE = {"role": "user", "content": "x" * 800}
CASES: dict[str, dict[str, Any]] = {
    "small": {"model": "bench", "messages": [_MESSAGE]},
    "agent": {"model": "bench", "messages": [{**_MESSAGE, "content": "y" * 500}] * 60},
    "stream": {"model": "bench", "messages": [_MESSAGE], "stream": True, "stream_options": {"include_usage": True}},
}


def http_request(port: int, body: Mapping[str, Any]) -> bytes:
    said = msgspec.json.encode(body)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
    return head.encode() + b"content-length: %d\r\n\r\n" % len(said) + said


async def load(port: int, request: bytes, requests: int, connections: int) -> None:
    """Sends the request so many times over so many connections, each waiting for its answer. Raises on any error."""
    left = requests

    async def client() -> None:
        nonlocal left
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
        while left > 0:
            left -= 1
            writer.write(request)
            await read_answer(reader)
        writer.close()

    await asyncio.gather(*(client() for _ in range(connections)))


async def read_answer(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"the proxy answered {head[:200]!r}")
    lower = head.lower()
    if b"chunked" in lower:
        await reader.readuntil(b"\r\n0\r\n\r\n")
    else:
        length = lower.split(b"content-length:")[1].split(b"\r\n")[0]
        await reader.readexactly(int(length))


# Processes ------------------------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def process(command: list[str], port: int) -> Iterator[int]:
    """A child that listens on the port; ended at the end."""
    # A file and not a pipe, out of which nobody would read the log lines.
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
        try:
            for _ in range(200):
                if child.poll() is not None:
                    said.seek(0)
                    raise RuntimeError(f"{command[0]} ended at once: {said.read().decode()[-500:]}")
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.1):
                    break
                signal.sigtimedwait([], 0.05)
            yield child.pid
        finally:
            child.terminate()
            child.wait(20)


@contextlib.contextmanager
def skein(folder: Path, vendor: int, traces: str = "", options: tuple[str, ...] = ()) -> Iterator[tuple[int, int]]:
    port = free_port()
    folder.mkdir()
    (folder / "skein.yaml").write_text(GATEWAY.format(port=port, vendor=vendor, traces=traces))
    words = ["-m", "gateway", "serve", "--config", str(folder / "skein.yaml"), *options]
    with process([sys.executable, *words], port) as pid:
        alone(pid)
        yield port, pid


@contextlib.contextmanager
def nginx(folder: Path, vendor: int) -> Iterator[tuple[int, int]]:
    port = free_port()
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port, vendor=vendor))
    with process([shutil.which("nginx") or "nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")], port) as pid:
        for each in family(pid):
            alone(each)
        yield port, pid


def alone(pid: int) -> None:
    """The proxy under test on the first core, everything started before it on the others."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(pid, cores[:1])


def family(pid: int) -> list[int]:
    """The process and its children (nginx works in one)."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return [pid, *(int(child) for child in (children.read_text().split() if children.exists() else []))]


def cpu_seconds(pid: int) -> float:
    """User and system time of the process and its children so far."""
    total = 0
    for each in family(pid):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")
