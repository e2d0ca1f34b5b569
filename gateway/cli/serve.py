"""``skein serve``: the gateway on its socket, until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import logging
import resource
import socket
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.cli import MISCONFIGURED, OK, UsageError, add_command, add_config
from gateway.cli.printing import remark
from gateway.config import Config, load
from gateway.config.checking import is_loopback
from gateway.errors import OperatorError, Problem
from gateway.observe import lines

if TYPE_CHECKING:
    from gateway.app import Runtime

# How long a cut stream has to tell its client before its connection is closed under it.
LAST_WORDS = 2.0
# And how long connections that are still open have after that.
CLOSING = 3

# Seconds a thread keeps the interpreter when another one wants it; Python's own 5 ms are many requests.
SWITCH = 0.0005

DESCRIPTION = """\
Runs the gateway until SIGTERM or ^C; the second of them does not wait for running requests.
SIGHUP reads the configuration again, and so does a change of the file."""
EXAMPLES = """\
  skein serve                          as configured; without a file, by the variables that are set
  skein serve --config skein.yaml --port 4001
  curl http://127.0.0.1:4000/v1/models"""


def add(commands: Any) -> None:
    command = add_command(commands, "serve", "run the gateway", DESCRIPTION, EXAMPLES)
    add_config(command)
    command.add_argument("--host", help="address to listen on (server.host)")
    command.add_argument("--port", type=int, help="port to listen on; 0 takes a free one (server.port)")
    command.add_argument(
        "--log-format", choices=("json", "console"), help="default: console on a terminal, else as configured"
    )
    # A worker's: the listening socket, and the pipe that closes when the supervisor is gone.
    command.add_argument("--fd", type=int, help=argparse.SUPPRESS)
    command.add_argument("--lifeline", type=int, help=argparse.SUPPRESS)
    # For the benchmark: what does telemetry cost, and what takes the time?
    command.add_argument("--untold", action="store_true", help=argparse.SUPPRESS)
    command.add_argument("--profile", help=argparse.SUPPRESS)
    command.set_defaults(act=serve)


def serve(arguments: argparse.Namespace, env: Mapping[str, str]) -> int:
    config = settings(arguments, env)
    allow_open_files()
    if arguments.fd is not None:
        return run_worker(arguments, dict(env), socket.socket(fileno=arguments.fd), config)
    format = log_format(arguments, config)
    for note in config.notes:
        if is_for_people(format):
            remark(f"note: {note}")
        else:
            lines.remark("warning", "config.note", note, format)
    listener = bind(config)
    if is_for_people(format):
        welcome(config, url_of(listener))
    if config.server.workers > 1:
        from gateway.cli.workers import supervise
        from gateway.observing import check_destinations

        # What would end every worker as soon as it is started is said once, and before.
        refuse_taken_ports(config)
        if problems := check_destinations(config, env):
            raise OperatorError(problems)

        return supervise(config.server.workers, arguments, dict(env), listener)
    return run_worker(arguments, dict(env), listener, config)


def allow_open_files() -> int:
    """As many as this user may have, for itself and the processes it starts; how many these are."""
    # Each connection is one, and the usual soft limit of 1,024 is for programs that call select().
    with contextlib.suppress(OSError, ValueError):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def settings(arguments: argparse.Namespace, env: Mapping[str, str]) -> Config:
    """The configuration with what the command line says in place. Raises ``OperatorError``."""
    config = load(arguments.config, env)
    given = overrides(arguments)
    if not given:
        return config
    if not 0 <= given.get("port", 0) <= 65535:
        raise UsageError("--port", f"{given['port']} is not a port", "0 to 65535")
    server = msgspec.structs.replace(config.server, **given)
    if config.access.mode == "open" and not is_loopback(server.host):
        remedy = "set access.mode to keys (with access.keys) or to trusted, or SKEIN_KEY where there is no file"
        raise UsageError("--host", f"{server.host} can be reached from outside and access is open", remedy)
    return msgspec.structs.replace(config, server=server)


def log_format(arguments: argparse.Namespace, config: Config) -> str:
    """1. As the command says. 2. For people on a terminal. 3. As configured."""
    on_terminal = sys.stderr is not None and sys.stderr.isatty()
    return arguments.log_format or ("console" if on_terminal else config.observe.logs.format)


def is_for_people(format: str) -> bool:
    """Plain lines may stand on standard error: nobody there expects JSON alone."""
    return format == "console" or (sys.stderr is not None and sys.stderr.isatty())


def overrides(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings of ``server`` that the command line gives."""
    return {name: getattr(arguments, name) for name in ("host", "port") if getattr(arguments, name) is not None}


def bind(config: Config) -> socket.socket:
    """The listening socket. Raises ``OperatorError`` when the address cannot be had."""
    host, port = config.server.host, config.server.port
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        what = f"cannot listen on {host}:{port}: {error.strerror or error}"
        raise OperatorError([Problem("server", what, _address_remedy(error))]) from None
    listener.set_inheritable(True)
    return listener


def _address_remedy(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "no address is known for this name: write one in server.host, such as 127.0.0.1 or 0.0.0.0"
    return _ADDRESS_REMEDIES.get(error.errno or 0, "look at server.host and server.port")


_ADDRESS_REMEDIES: Mapping[int, str] = {
    errno.EADDRINUSE: "is another one running? take another with --port or server.port",
    errno.EACCES: "ports below 1024 are for root: take a higher one with --port or server.port",
    errno.EADDRNOTAVAIL: "this machine does not have that address: write 127.0.0.1, 0.0.0.0 or one of its own",
    errno.EAFNOSUPPORT: "this machine does not speak that kind of address: write 127.0.0.1 or 0.0.0.0",
}


def run_worker(arguments: argparse.Namespace, env: dict[str, str], listener: socket.socket, config: Config) -> int:
    """One process of the gateway, on a socket that is open already."""
    from gateway.app import Runtime
    from gateway.cli.server import Server
    from gateway.observe.observability import Logging

    # What uvicorn has to say is said by our own events; an answer that was cut on purpose is no error.
    logging.getLogger("uvicorn.error").addFilter(lambda record: "without completing" not in record.getMessage())
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    # A page of metrics is written by a thread: while it has the interpreter, every pass of the event loop waits for it.
    sys.setswitchinterval(SWITCH)
    worker = int(env["SKEIN_WORKER"]) if arguments.fd is not None and "SKEIN_WORKER" in env else None
    logging_ = Logging(config.observe.logs.level, log_format(arguments, config), worker)
    told = not arguments.untold
    runtime = Runtime(config, None, env, arguments.config, overrides(arguments), logging_, told)
    url = url_of(listener)
    if config.server.metrics_port is not None:
        open_metrics(runtime, config, worker)

    server = Server(runtime, url, CLOSING, arguments.lifeline)
    import uvloop

    with profiled(arguments.profile), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(server.serve(sockets=[listener]))
        except SystemExit as stopped:
            return MISCONFIGURED if stopped.code else OK
    return OK


def profiled(path: str | None) -> contextlib.AbstractContextManager[None]:
    if path is None:
        return contextlib.nullcontext()
    from gateway.cli.sampling import sampled

    return sampled(path)


def open_metrics(runtime: Runtime, config: Config, worker: int | None) -> None:
    """The port of this process alone. Raises ``OperatorError`` when it cannot be had."""
    first = config.server.metrics_port or 0
    port = first + (worker or 1) - 1 if first else 0
    try:
        taken = runtime.observability.listen(config.server.host, port)
    except (OSError, OverflowError) as error:
        raise no_metrics(config.server.host, port, error) from None
    url = f"http://{config.server.host}:{taken}/metrics"
    runtime.observability.say("info", "metrics.started", {"url": url})


def refuse_taken_ports(config: Config) -> None:
    """Ahead of the workers, for one that cannot have its port would die again and again. Raises ``OperatorError``."""
    host, first = config.server.host, config.server.metrics_port
    for port in range(first, first + config.server.workers) if first else ():
        try:
            socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
        except (OSError, OverflowError) as error:
            raise no_metrics(host, port, error) from None


def no_metrics(host: str, port: int, error: Exception) -> OperatorError:
    what = f"cannot serve metrics on {host}:{port}: {getattr(error, 'strerror', None) or error}"
    return OperatorError(
        [Problem("server.metrics_port", what, "take another port, with as many free above it as there are workers")]
    )


def url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def welcome(config: Config, url: str) -> None:
    """What a person wants to know first."""
    names = [*config.models, *(f"{provider}/…" for provider in config.providers)]
    example = next(iter(config.models), None) or ("simulator/echo" if "simulator" in config.providers else None)
    remark(f"skein on {url}/v1  (config: {config.source})")
    remark(f"models: {', '.join(names)}")
    if example:
        body = f'{{"model":"{example}","messages":[{{"role":"user","content":"hello"}}]}}'
        key = ' -H "Authorization: Bearer $KEY"' if config.access.mode == "keys" else ""
        # Whoever listens everywhere is found on this machine too.
        here = url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
        remark(f"try: curl {here}/v1/chat/completions{key} -d '{body}'")
