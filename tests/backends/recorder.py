"""What every receiver of telemetry here shares: how it behaves, what it was sent, and waiting for that."""

from __future__ import annotations

import socket
import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from .otlp import Metric, Span

Self = TypeVar("Self", bound="Recorder")


@dataclass(frozen=True)
class Mode:
    """What becomes of a request once it is read. ``delay`` in seconds; ``retry_after`` as the header says it."""

    ends: Literal["answered", "reset", "never"] = "answered"
    status: int = 200
    delay: float = 0.0
    retry_after: float | str | None = None

    @property
    def waits(self) -> bool:
        return self.ends == "never" or self.delay > 0


OK = Mode()
BAD_REQUEST = Mode(status=400)
HANG = Mode(ends="never")
RESET = Mode(ends="reset")


def slow(seconds: float) -> Mode:
    return Mode(delay=seconds)


def unavailable(retry_after: float | str | None = None) -> Mode:
    return Mode(status=503, retry_after=retry_after)


@dataclass
class Recorded:
    """One request. Header names are lower-case, ``body`` is decompressed, ``json`` is its value where it is JSON.

    ``status``: what it was answered with; ``None`` while it waits, and for good if it was cut or the client left.
    ``spans`` and ``metrics``: what it held, taken or not.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""
    json: Any = None
    spans: tuple[Span, ...] = ()
    metrics: tuple[Metric, ...] = ()
    status: int | None = None
    epoch: int = field(default=0, repr=False)

    @property
    def accepted(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def reserved(port: int) -> socket.socket:
    """Holds a port without listening: connections are refused, and nobody else gets it until this is closed."""
    holding = socket.socket()
    holding.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holding.bind(("127.0.0.1", port))
    return holding


class Recorder:
    """The records of a receiver, for any thread. ``mode`` may be changed at any time.

    A change of mode ends the waits of requests under way: one that hangs is cut, a slow one answered at once. A span
    counts as accepted when its request is about to be answered with 2xx to a client that is still there, so that it
    can be seen as soon as the client knows.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._mode = OK
        self._script: deque[Mode] = deque()
        self._listening = False
        self._epoch = 0  # grows with every change that ends waits
        self._requests: list[Recorded] = []

    # --- how to behave

    @property
    def mode(self) -> Mode:
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        with self._changed:
            self._mode = mode
            self._release()

    def script(self, *modes: Mode) -> None:
        """Behave like these for the next requests, one each, and then as ``mode`` says."""
        with self._changed:
            self._script = deque(modes)

    # --- what was sent

    @property
    def requests(self) -> list[Recorded]:
        """All of them in order of arrival, whatever became of them."""
        with self._changed:
            return list(self._requests)

    def requests_to(self, path: str) -> list[Recorded]:
        return [request for request in self.requests if request.path == path]

    def spans(self, path: str | None = None) -> list[Span]:
        """The spans accepted, on one path or on all, in order of arrival."""
        return [span for request in self._accepted(path) for span in request.spans]

    def span(self, name: str) -> Span:
        """The one accepted span of this name; ``AssertionError`` when there is none or more."""
        found = [span for span in self.spans() if span.name == name]
        assert len(found) == 1, f"{len(found)} spans {name!r}: {self.summary()}"
        return found[0]

    def metrics(self) -> list[Metric]:
        """The metrics accepted, every export's."""
        return [metric for request in self._accepted() for metric in request.metrics]

    @property
    def accepted(self) -> Counter[str]:
        """Path -> how many spans were accepted on it."""
        counts: Counter[str] = Counter()
        for request in self._accepted():
            if request.spans:
                counts[request.path] += len(request.spans)
        return counts

    def forget(self) -> None:
        """Empty the records and the script; the mode stays."""
        with self._changed:
            self._requests.clear()
            self._script.clear()

    def summary(self) -> str:
        told = "; ".join(f"{each.method} {each.path} {each.status} {len(each.spans)} spans" for each in self.requests)
        return f"{len(self.spans())} spans accepted; requests: {told or 'none'}"

    # --- waiting for it

    def wait_for(self, count: int, timeout: float = 20.0, path: str | None = None) -> list[Span]:
        """The accepted spans as soon as there are so many; ``AssertionError`` with what there was if not in time."""
        self.wait_until(lambda _: len(self.spans(path)) >= count, timeout)
        return self.spans(path)

    def wait_until(self: Self, claim: Callable[[Self], object], timeout: float = 20.0) -> None:
        """Return as soon as the claim holds. It is asked again whenever a request arrives or is answered."""
        with self._changed:
            held = self._changed.wait_for(lambda: claim(self), timeout)
        if not held:
            raise AssertionError(f"not within {timeout} s: {self.summary()}")

    # --- told by the servers

    def arrived(self, request: Recorded) -> Mode:
        """Keep the request and say how to treat it."""
        with self._changed:
            request.epoch = self._epoch
            self._requests.append(request)
            self._changed.notify_all()
            return self._script.popleft() if self._script else self._mode

    def decided(self, request: Recorded, status: int) -> None:
        """The request is being answered with this status."""
        with self._changed:
            request.status = status
            self._changed.notify_all()

    def pause(self, request: Recorded, mode: Mode, wanted: Callable[[], bool] = lambda: True) -> bool:
        """Wait as the mode says; no longer once that has changed, the receiver has gone or nobody wants the answer.

        ``wanted`` is asked whenever ``wake`` is called. Returns whether there is still a receiver to answer.
        """
        seconds = None if mode.ends == "never" else mode.delay
        with self._changed:
            if mode.waits:
                self._changed.wait_for(
                    lambda: self._epoch != request.epoch or not self._listening or not wanted(), seconds
                )
            return self._listening

    def wake(self) -> None:
        """Have every wait look again."""
        with self._changed:
            self._changed.notify_all()

    def listens(self, listening: bool) -> None:
        """The receiver comes or goes; while it is gone nothing waits."""
        with self._changed:
            self._listening = listening
            self._release()

    def _release(self) -> None:
        self._epoch += 1
        self._changed.notify_all()

    def _accepted(self, path: str | None = None) -> list[Recorded]:
        return [each for each in self.requests if each.accepted and path in (None, each.path)]
