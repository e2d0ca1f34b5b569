"""A real Redis for a test, on a port of its own, gone afterwards; and a socket that only looks like one."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from redis import Redis

from tests.backends.prometheus import located


class RedisServer:
    """``with RedisServer() as redis``: ready when entered. ``stop`` loses its data, ``start`` takes its port again."""

    def __init__(self, password: str | None = None) -> None:
        self.password, self.port = password, free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = contextlib.ExitStack()

    @property
    def url(self) -> str:
        return f"redis://{f':{self.password}@' if self.password else ''}127.0.0.1:{self.port}/0"

    def __enter__(self) -> RedisServer:
        self._directory = self._ended.enter_context(tempfile.TemporaryDirectory(prefix="redis-"))
        self.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self.stop()
        self._ended.close()

    def start(self) -> None:
        settings = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": self._directory,
            "save": "",
            "appendonly": "no",
            "unixsocket": str(Path(self._directory) / "socket"),
            **({"requirepass": self.password} if self.password else {}),
        }
        command = [located("redis-server"), *(part for name, said in settings.items() for part in (f"--{name}", said))]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 30
        while not self.answers():
            assert self._process.poll() is None, "redis-server did not start"
            assert time.monotonic() < deadline, "redis-server did not answer"
            time.sleep(0.02)

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except Exception:
            return False

    def client(self) -> Redis:
        return Redis.from_url(self.url, protocol=2)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


Answer = Callable[[bytes], bytes | None]
"""What was received -> what is said to it; None: nothing, for ever; empty: the connection is closed."""


@contextlib.contextmanager
def sham(answer: Answer) -> Iterator[str]:
    """The URL of a server that answers each piece it receives so."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ended = threading.Event()

        def serve(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                while received := connection.recv(65536):
                    said = answer(received)
                    if said == b"":
                        return
                    if said is None:
                        ended.wait(30)
                        return
                    connection.sendall(said)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield f"redis://127.0.0.1:{server.getsockname()[1]}"
        finally:
            ended.set()
