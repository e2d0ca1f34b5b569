"""``skein bench``: CPU microseconds per request and per streamed event, beside a bare nginx, in one run.

Several processes: a vendor that answers from memory, the gateway in several ways, nginx, and this one, which makes the
load. The proxy under test has one core, the rest share the others. Trust the ratios: machines differ.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from gateway.cli import FAILED, OK, UsageError, add_command
from gateway.cli.printing import print_json, remark

if TYPE_CHECKING:
    from gateway.cli.bench_cases import Case
    from gateway.cli.bench_load import Target
    from gateway.cli.bench_proxies import Proxy
    from gateway.cli.bench_rounds import Amount, Report

DESCRIPTION = """\
Measures CPU microseconds per request and per streamed event, latency and memory, beside a bare nginx where there is
one; or of whatever answers at --url. Every answer is looked at: exit code 1 means that some were wrong."""
EXAMPLES = """\
  skein bench
  skein bench --requests 300 --rounds 1 --cases small,burst --json
  skein bench --workers 2 --picture speed.svg
  skein bench --url http://127.0.0.1:4000 --model gpt-5 --pid auto
  skein bench --peer envoy=http://127.0.0.1:8080 --vendor-port 9000
  skein bench --idle 5000
  skein bench --streams 1000
  skein bench --long 1000000
  skein bench --flame flame.svg
  skein bench --translation
  skein bench --routing --picture docs/dynamic.svg"""

OTHERS = ("idle", "streams", "long", "flame", "translation", "routing")
"""What is measured instead, one at a time."""


def add(commands: Any) -> None:
    command = add_command(commands, "bench", "measure the gateway's own overhead", DESCRIPTION, EXAMPLES)
    load = command.add_argument_group("load")
    load.add_argument("--cases", metavar="NAMES", help="some of them, with commas (default: all that can be had)")
    load.add_argument("--proxies", metavar="NAMES", help="of skein, traced, untold, lane-off, nginx (default: all)")
    load.add_argument("--requests", type=int, default=3000, help="small requests of each round (default 3000)")
    load.add_argument("--seconds", type=float, help="so long each, instead of --requests")
    load.add_argument("--connections", type=int, default=32, help="connections at a time (default 32)")
    load.add_argument("--rounds", type=int, default=3, help="interleaved rounds; the median counts (default 3)")
    load.add_argument("--workers", type=int, default=1, help="also measure the gateway with so many processes")
    other = command.add_argument_group("a gateway that runs already, instead of our own beside nginx")
    other.add_argument("--url", help="where it is, such as http://127.0.0.1:4000")
    other.add_argument("--model", help="the model to ask for")
    other.add_argument("--key", help="its key (default: $SKEIN_KEY)")
    other.add_argument("--pid", help="its process, for CPU and memory; auto finds one on this machine")
    peers = command.add_argument_group("other gateways beside ours, which serve small, burst and paced from our vendor")
    peers.add_argument("--peer", metavar="NAME=URL", action="append", default=[], help="one of them; may be repeated")
    peers.add_argument("--vendor-port", type=int, metavar="PORT", help="where they find it (default: a free one)")
    output = command.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="figures as JSON")
    output.add_argument("--markdown", action="store_true", help="figures as a table for a page")
    output.add_argument("--picture", metavar="FILE", help="also write the figures, or the curves of --routing, as SVG")
    instead = command.add_argument_group("instead").add_mutually_exclusive_group()
    instead.add_argument("--idle", type=int, metavar="N", help="what so many idle clients cost, and who suffers")
    instead.add_argument("--streams", type=int, metavar="N", help="so many streams at once, some of them read slowly")
    instead.add_argument("--long", type=int, metavar="N", help="so many requests, and what memory does meanwhile")
    instead.add_argument("--flame", metavar="FILE", help="where the CPU time goes, as SVG")
    instead.add_argument(
        "--translation", action="store_true", help="what reading and writing each vendor's dialect costs"
    )
    instead.add_argument(
        "--routing", action="store_true", help="how well the strategy dynamic chooses, in a simulated world"
    )
    command.set_defaults(act=bench)


def bench(arguments: argparse.Namespace, env: Mapping[str, str]) -> int:
    check(arguments)
    from gateway.cli.bench_proxies import Broken

    chosen = next((name for name in OTHERS if getattr(arguments, name)), "speed")
    try:
        return int(ACTS[chosen](arguments, env))
    except Broken as broken:
        remark(str(broken))
        return FAILED


def check(arguments: argparse.Namespace) -> None:
    """Raises ``UsageError``."""
    for name in ("requests", "connections", "rounds", "workers", "seconds", "idle", "streams", "long"):
        value = getattr(arguments, name)
        if value is not None and not value > 0:
            raise UsageError(f"--{name}", f"{value} is not enough", "1 or more" if name != "seconds" else "more than 0")
    if arguments.url is None:
        for name in ("model", "key", "pid"):
            if getattr(arguments, name):
                raise UsageError(f"--{name}", "is of a gateway that runs already", "add --url")
    elif not arguments.model:
        raise UsageError("--model", "is needed to ask the gateway at --url", "one of its /v1/models")
    elif arguments.workers > 1 or arguments.flame or arguments.peer:
        raise UsageError("--url", "is measured as it runs, and alone", "leave out --workers, --flame and --peer")
    instead = [name for name in OTHERS if getattr(arguments, name)]
    if arguments.picture and instead not in ([], ["routing"]):
        raise UsageError("--picture", f"is not drawn of --{instead[0]}", "leave it out")


def speed(arguments: argparse.Namespace, env: Mapping[str, str]) -> int:
    from gateway.cli import bench_rounds
    from gateway.cli.bench_proxies import names

    cases, amount = cases_of(arguments), amount_of(arguments)
    with subjects(arguments, env, names(arguments.workers > 1, arguments.proxies)) as proxies:
        report = bench_rounds.measure(proxies, cases, amount, arguments.workers)
    return tell(report, arguments)


def long(arguments: argparse.Namespace, env: Mapping[str, str]) -> int:
    from gateway.cli import bench_rounds

    case = cases_of(arguments, "small")[0]
    amount = msgspec.structs.replace(amount_of(arguments), requests=arguments.long)
    with subjects(arguments, env, ["skein"]) as proxies:
        *_, proxy = proxies.values()
        report = bench_rounds.long(proxy, case, amount)
    return tell(report, arguments)


def crowd(arguments: argparse.Namespace, env: Mapping[str, str]) -> int:
    from gateway.cli import bench_crowd
    from gateway.cli.bench_proxies import names

    if arguments.streams and arguments.url:
        raise UsageError("--streams", "needs a vendor of our own, which answers slowly", "leave out --url")
    case = cases_of(arguments, "small")[0]
    if arguments.idle:
        bench_crowd.require_open_files("--idle", arguments.idle)
    else:
        # A proxy has two for each stream: one to the client, one to the vendor.
        bench_crowd.require_open_files("--streams", arguments.streams * 2)
    with subjects(arguments, env, names(False, arguments.proxies or "skein,nginx")) as proxies:
        crowds = [
            bench_crowd.idle(proxy, arguments.idle, case)
            if arguments.idle
            else bench_crowd.streams(proxy, arguments.streams, case)
            for proxy in proxies.values()
            if proxy.name != "direct"
        ]
    print_json(crowds) if arguments.json else bench_crowd.show(crowds)
    return FAILED if any(each.failures for each in crowds) else OK


def flame(arguments: argparse.Namespace, env: Mapping[str, str]) -> int:
    from gateway.cli import bench_flame, bench_rounds
    from gateway.cli.bench_proxies import started

    cases, amount = cases_of(arguments, "small"), amount_of(arguments)
    with tempfile.TemporaryDirectory() as folder:
        stacks = Path(folder) / "stacks"
        with started(["skein"], options=("--profile", str(stacks))) as proxies:
            report = bench_rounds.measure({"skein": proxies["skein"]}, cases, amount)
        sampled = bench_flame.read(stacks.read_text())
    names = ", ".join(case.name for case in cases)
    write(arguments.flame, bench_flame.picture(sampled, f"skein serve: {names}"))
    remark(f"{sum(sampled.values())} samples in {arguments.flame}")
    return FAILED if report.failures else OK


def translation(arguments: argparse.Namespace, env: Mapping[str, str]) -> int:
    from gateway.cli import bench_translation

    costs = bench_translation.bench(arguments)
    print(msgspec.json.encode(costs).decode()) if arguments.json else bench_translation.show(costs)
    return OK


def routing(arguments: argparse.Namespace, env: Mapping[str, str]) -> int:
    from gateway.cli import bench_routing

    chosen = bench_routing.bench()
    if arguments.picture:
        bench_routing.write(chosen, arguments.picture)
    print(msgspec.json.encode(chosen).decode()) if arguments.json else bench_routing.show(chosen)
    return OK


ACTS = {
    "speed": speed,
    "idle": crowd,
    "streams": crowd,
    "long": long,
    "flame": flame,
    "translation": translation,
    "routing": routing,
}


# What is asked for ----------------------------------------------------------------------------------------------------


def amount_of(arguments: argparse.Namespace) -> Amount:
    from gateway.cli.bench_rounds import Amount

    return Amount(arguments.requests, arguments.connections, arguments.rounds, arguments.seconds)


def cases_of(arguments: argparse.Namespace, otherwise: str = "") -> list[Case]:
    """Those that were named; else this one, else all that can be had. Raises ``UsageError``."""
    from gateway.cli.bench_cases import CASES

    known = [case for case in CASES.values() if arguments.url is None or case.of_any_vendor]
    if arguments.url is not None:
        known = [case.named(arguments.model) for case in known]
    by_name = {case.name: case for case in known}
    chosen = (arguments.cases or otherwise or ",".join(by_name)).split(",")
    for name in chosen:
        if name in CASES and name not in by_name:
            raise UsageError("--cases", f'"{name}" needs a vendor of our own', "leave out --url")
        if name not in CASES:
            raise UsageError("--cases", f'there is no case "{name}"', f"some of {', '.join(by_name)}")
    return [by_name[name] for name in chosen]


@contextlib.contextmanager
def subjects(arguments: argparse.Namespace, env: Mapping[str, str], names: Sequence[str]) -> Iterator[dict[str, Proxy]]:
    """What is measured: the gateway at ``--url``, or our own by these names. Raises ``UsageError``, ``Broken``."""
    from gateway.cli.bench_proxies import nginx_program, started

    if arguments.url is not None:
        yield {"url": elsewhere(arguments, env)}
        return
    if nginx_program() is None:
        remark("nginx is not installed: no comparison")
    beside = peers(arguments)
    with started(names, arguments.workers, vendor_port=arguments.vendor_port) as proxies:
        yield {**proxies, **beside}


def elsewhere(arguments: argparse.Namespace, env: Mapping[str, str]) -> Proxy:
    """The gateway that runs already. Raises ``UsageError``."""
    from gateway.cli.bench_proxies import Proxy, chosen_pid

    target = target_of("--url", arguments.url, arguments.key or env.get("SKEIN_KEY") or None)
    return Proxy("url", target, chosen_pid(arguments.pid, target))


def peers(arguments: argparse.Namespace) -> dict[str, Proxy]:
    """Other gateways in front of our vendor. Raises ``UsageError``."""
    from gateway.cli.bench_proxies import Proxy, listener

    found = {}
    for said in arguments.peer:
        name, is_named, url = said.partition("=")
        if not name or not is_named:
            raise UsageError("--peer", f'"{said}" is not NAME=URL', "such as envoy=http://127.0.0.1:8080")
        target = target_of("--peer", url, None)
        found[name] = Proxy(name, target, listener(target.port), bare=True, rewrites=True)
    return found


def target_of(option: str, url: str, key: str | None) -> Target:
    """Where chat is served. Raises ``UsageError`` also when nobody is there."""
    from gateway.cli.bench_load import Target

    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(option, f'"{url}" is no URL', "such as http://127.0.0.1:4000")
    secure = parts.scheme == "https"
    path = f"{parts.path.rstrip('/').removesuffix('/v1')}/v1/chat/completions"
    target = Target(parts.hostname, port or (443 if secure else 80), path, key, secure)
    try:
        socket.create_connection((target.host, target.port), 5).close()
    except OSError as error:
        what = f"nobody answers at {target.host}:{target.port}: {error.strerror or error}"
        raise UsageError(option, what, "is it started, and is that its port?") from None
    return target


def tell(report: Report, arguments: argparse.Namespace) -> int:
    from gateway.cli import bench_picture, bench_rounds

    if arguments.picture:
        write(arguments.picture, bench_picture.picture(report.figures))
    if arguments.json:
        print_json(report)
    elif arguments.markdown:
        print(bench_rounds.markdown(report))
    else:
        bench_rounds.show(report)
    return FAILED if report.failures else OK


def write(path: str, text: str) -> None:
    """Raises ``Broken``: after minutes of measuring, the reason is worth a line."""
    from gateway.cli.bench_proxies import Broken

    try:
        Path(path).write_text(text)
    except OSError as error:
        raise Broken(f"{path} cannot be written: {error.strerror}") from None
