"""The processes that ``skein bench`` measures: how they are started, where they run, what they have spent.

The one under test has a core of its own (with several workers, several), everything else shares the others.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from gateway.cli import UsageError
from gateway.cli.bench_load import Target

NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 16384; }}
http {{
  access_log off; client_body_buffer_size 1m; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream vendor {{ server 127.0.0.1:{vendor}; keepalive 256; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096; keepalive_requests 100000000; keepalive_timeout 600s;
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    location / {{ proxy_pass http://vendor; }}
  }}
}}
"""
# Whoever fails gives way at once: what is measured is the work, not the waiting.
GATEWAY = """
server: {{port: {port}, workers: {workers}{server}}}
resilience: {{retries: 0}}
providers:
  vendor: {{vendor: openai_compatible, base_url: "http://127.0.0.1:{vendor}/v1", api_key: bench-key-0123}}
  backup: {{vendor: openai_compatible, base_url: "http://127.0.0.1:{vendor}/v1", api_key: bench-key-0123}}
  foreign: {{vendor: anthropic_compatible, base_url: "http://127.0.0.1:{vendor}", api_key: bench-key-0123}}
models:
  small: {{targets: [vendor/small]}}
  burst: {{targets: [vendor/burst]}}
  paced: {{targets: [vendor/paced]}}
  drip: {{targets: [vendor/drip]}}
  flood: {{targets: [vendor/flood]}}
  failing: {{targets: [vendor/failing, backup/backup]}}
  translated: {{targets: [foreign/claude-bench]}}
observe: {{prices: {{{prices}}}{traces}}}
"""
PRICED = ("small", "burst", "paced", "drip", "flood", "failing", "backup", "claude-bench")
TRACES = ', otlp: {{endpoint: "http://127.0.0.1:{vendor}"}}'


class Broken(Exception):
    """Something that is needed for measuring does not run."""


class Proxy(msgspec.Struct, frozen=True):
    """One thing to measure. ``pid``: of a process whose family is looked at; None: nobody knows it."""

    name: str
    target: Target
    pid: int | None
    bare: bool = False
    """It passes on what comes: no failover, no translation."""
    rewrites: bool = False
    """Its events need not be the vendor's, if only every word arrives."""


class Site(msgspec.Struct, frozen=True):
    """Where proxies are started. ``cores``: what this process might use before it stepped aside."""

    folder: Path
    vendor: int
    """The vendor's port."""
    cores: Sequence[int]
    workers: int = 1
    """Of the row ``workers``."""


@contextlib.contextmanager
def started(
    names: Sequence[str], workers: int = 1, options: Sequence[str] = (), vendor_port: int | None = None
) -> Iterator[dict[str, Proxy]]:
    """The vendor itself (``direct``) and these proxies in front of it, until the end. Raises ``Broken``.

    ``options``: more words for ``skein serve``.
    """
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack, moved(cores[1:]):
        port = vendor_port or free_port()
        words = [sys.executable, "-m", "gateway.cli.bench_vendor", str(port)]
        vendor = stack.enter_context(process(words, port))
        proxies = {"direct": Proxy("direct", Target("127.0.0.1", port), vendor, bare=True)}
        site = Site(Path(folder), port, cores, workers)
        for name in names:
            proxies[name] = stack.enter_context(nginx(site) if name == "nginx" else skein(site, name, options))
        yield proxies


FOR_ROOT = ("/usr/sbin", "/usr/local/sbin")

NAMES = ("skein", "traced", "untold", "lane-off", "nginx")
"""All default telemetry; traces exported, every one of them; nothing told to anybody; without the lane; bare nginx."""


def names(with_workers: bool, chosen: str | None = None) -> list[str]:
    """Those that were chosen, with commas, as far as they can be had. Raises ``UsageError``."""
    wanted = chosen.split(",") if chosen else NAMES
    for name in wanted:
        if name not in NAMES:
            raise UsageError("--proxies", f'there is no proxy "{name}"', f"some of {', '.join(NAMES)}")
    found = [name for name in wanted if name != "nginx" or nginx_program()]
    return [*found, "workers"] if with_workers else found


def nginx_program() -> str | None:
    """Debian has it where only root's PATH leads."""
    return shutil.which("nginx", path=os.pathsep.join([os.environ.get("PATH", os.defpath), *FOR_ROOT]))


@contextlib.contextmanager
def skein(site: Site, name: str, options: Sequence[str] = ()) -> Iterator[Proxy]:
    port, workers = free_port(), site.workers if name == "workers" else 1
    traces = TRACES.format(vendor=site.vendor) if name == "traced" else ""
    server = ", lane: off" if name == "lane-off" else ""
    prices = ", ".join(f"{model}: {{input: 1, output: 2}}" for model in PRICED)
    said = GATEWAY.format(port=port, vendor=site.vendor, workers=workers, server=server, traces=traces, prices=prices)
    file = site.folder / f"{name}.yaml"
    file.write_text(said)
    words = [sys.executable, "-m", "gateway", "serve", "--config", str(file), *options]
    words += ["--untold"] if name == "untold" else []
    with process(words, port, site.cores[:workers]) as pid:
        yield Proxy(name, Target("127.0.0.1", port), pid)


@contextlib.contextmanager
def nginx(site: Site) -> Iterator[Proxy]:
    port, folder = free_port(), site.folder
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port, vendor=site.vendor))
    words = [nginx_program() or "nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with process(words, port, site.cores[:1]) as pid:
        yield Proxy("nginx", Target("127.0.0.1", port), pid, bare=True)


@contextlib.contextmanager
def process(command: list[str], port: int, on: Sequence[int] = ()) -> Iterator[int]:
    """A child that listens on the port, on these cores; ended at the end. Raises ``Broken``."""
    # A file and not a pipe, out of which nobody would read the log lines.
    with tempfile.TemporaryFile() as said:
        with moved(on):
            child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said, env=environment())
        try:
            for _ in range(400):
                if child.poll() is not None:
                    said.seek(0)
                    raise Broken(f"{command[0]} ended at once: {said.read().decode()[-500:]}")
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.1):
                    break
                signal.sigtimedwait([], 0.05)
            else:
                raise Broken(f"{command[0]} does not listen after 20 seconds")
            yield child.pid
        finally:
            child.terminate()
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def environment() -> dict[str, str]:
    """Ours without what would configure the gateway: whoever has keys or a collector there does not want them used."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "COVERAGE_PROCESS_START")
    return {name: os.environ[name] for name in kept if name in os.environ}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def moved(to: Sequence[int]) -> Iterator[None]:
    """This process and its children of meanwhile on these cores; none: where it is."""
    before = os.sched_getaffinity(0)
    if to:
        os.sched_setaffinity(0, to)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


# What is spent --------------------------------------------------------------------------------------------------------


def family(pid: int) -> list[int]:
    """The process and all below it: nginx and a supervisor have others work."""
    children: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            children += map(int, path.read_text().split())
    return [pid, *(each for child in children for each in family(child))]


def cpu_seconds(pid: int) -> float:
    """User and system time of the process and those below it, all their threads, so far."""
    return sum(map(_cpu_of, family(pid)))


def _cpu_of(pid: int) -> float:
    """By the process's own clock, in nanoseconds; /proc counts the same in ticks of 10 ms."""
    try:
        # How Linux numbers the clock of another process: https://man7.org/linux/man-pages/man3/clock_getcpuclockid.3.html
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return _ticks_of(pid) / os.sysconf("SC_CLK_TCK")


def _ticks_of(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def memory_mb(pid: int) -> float:
    """What the process and those below it hold in memory."""
    pages = 0
    for each in family(pid):
        with contextlib.suppress(OSError):
            pages += int(Path(f"/proc/{each}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


# Somebody else's ------------------------------------------------------------------------------------------------------


def chosen_pid(said: str | None, target: Target) -> int | None:
    """Whose CPU and memory are looked at. ``said``: a number, ``auto``, or nothing. Raises ``UsageError``."""
    if said is None:
        return None
    if said == "auto":
        pid = listener(target.port)
        if pid is None:
            remedy = "is it on this machine, and yours? say its process id"
            raise UsageError("--pid", f"no process that can be seen listens on port {target.port}", remedy)
        return pid
    if not said.isdigit():
        raise UsageError("--pid", f'"{said}" is no process id', "a number, or auto")
    if not Path(f"/proc/{said}").exists():
        raise UsageError("--pid", f"there is no process {said}")
    return int(said)


def listener(port: int) -> int | None:
    """The process that listens on this port; of several that share the socket, the one above the others."""
    sockets = {f"socket:[{inode}]" for inode in _listening(port)}
    holders = {pid for pid in _processes() if sockets & _open_files(pid)}
    below = {child for pid in holders for child in family(pid)[1:]}
    return min(holders - below, default=None)


def _listening(port: int) -> Iterator[str]:
    """The inodes of listening sockets: https://www.kernel.org/doc/Documentation/networking/proc_net_tcp.txt"""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                    yield fields[9]


def _processes() -> Iterator[int]:
    return (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())


def _open_files(pid: int) -> set[str]:
    found = set()
    with contextlib.suppress(OSError):
        for each in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.add(os.readlink(each))
    return found
