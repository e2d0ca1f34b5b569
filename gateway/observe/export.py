"""Hands things to a backend from a thread of its own: never blocks, tries again for a while, and counts what it loses.

At any moment ``offered == exported + lost + waiting``. OpenTelemetry's own BatchSpanProcessor drops the oldest when its
queue is full and every batch that fails, says neither in numbers, and ends when the backend does.
"""

from __future__ import annotations

import logging
import random
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Literal, Protocol, TypeVar

import msgspec

from gateway.observe.crashes import crash

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)

Loss = Literal["queue_full", "failed", "shutdown"]
Say = Callable[[str, str, Mapping[str, Any]], None]
"""Writes a log line: level, event, fields."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a backend made of a batch.

    ``refused``: things of a batch it took that it threw away. Not taken: ``again`` says that the same may yet work,
    after ``wait`` seconds if it named them, and ``too_large`` that less at once may. ``said``: why, in few words.
    """

    taken: bool
    refused: int = 0
    again: bool = False
    wait: float | None = None
    too_large: bool = False
    said: str = ""


TAKEN = Answer(taken=True)


class Exporter(Protocol[T_contra]):
    """How a backend is spoken to. Called from the shipper's thread only."""

    def pack(self, things: Sequence[T_contra], /) -> Any:
        """The batch as it is sent, once for all tries."""

    def send(self, packed: Any, timeout: float, /) -> Answer:
        """One try, in about as many seconds at most. What it raises is a defect, and loses the batch."""

    def close(self) -> None: ...


class Counts(msgspec.Struct, frozen=True):
    offered: int
    exported: int
    lost: dict[Loss, int]
    waiting: int


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long a shipper waits for what. Seconds."""

    linger: float = 1.0
    """For a batch to fill."""
    timeout: float = 5.0
    """For one answer."""
    tries: int = 8
    """Of each batch."""
    batch: float = 30.0
    """For all tries of one batch: as long as a collector takes to start again."""
    backoff: float = 0.5
    """Before the second try; twice as long before each further one."""


class Shipper(Generic[T]):
    """One queue to one backend, which ``name`` stands for in metrics and log.

    ``lost(sink, reason, count)``, ``exported(sink, count)`` and ``timed(sink, result, seconds)`` (each try: ``ok`` or
    ``failed``) are called from the shipper's thread, ``lost`` also by who offers; never with a lock held. ``say``
    writes one line when the backend fails a whole batch, and one when it is back.
    """

    def __init__(
        self,
        name: str,
        exporter: Exporter[T],
        *,
        lost: Callable[[str, str, int], None],
        exported: Callable[[str, int], None],
        timed: Callable[[str, str, float], None],
        say: Say,
        queue: int = 8192,
        batch: int = 128,
        patience: Patience | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.name, self._exporter, self._room, self._batch = name, exporter, queue, batch
        self._tell_lost, self._tell_exported, self._timed, self._say = lost, exported, timed, say
        self._patience, self._jitter = patience or Patience(), jitter
        self._changed = threading.Condition()
        self._queue: deque[T] = deque()
        self._flying = 0
        self._offered = self._exported = 0
        self._lost: dict[Loss, int] = {"queue_full": 0, "failed": 0, "shutdown": 0}
        self._idle, self._hurried = False, 0
        self._thread: threading.Thread | None = None
        # Closing: until when there is time; whether the rest has been given up; whether the time is over.
        self._until: float | None = None
        self._given_up = self._over = False
        # Whether the last batch was refused in part, or lost as a whole; how much was lost since that began.
        self._refused = self._down = False
        self._lost_since = 0

    def offer(self, things: Sequence[T]) -> None:
        """Takes what there is room for; returns at once."""
        with self._changed:
            self._offered += len(things)
            closed = self._until is not None
            room = 0 if closed else max(0, self._room - len(self._queue) - self._flying)
            self._queue.extend(things[:room])
            reason: Loss = "shutdown" if closed else "queue_full"
            lost = len(things) - min(room, len(things))
            self._lost[reason] += lost
            if self._thread is None and not closed:
                self._thread = threading.Thread(target=self._run, name=f"export-{self.name}", daemon=True)
                self._thread.start()
            if self._idle or len(self._queue) >= self._batch:
                self._changed.notify_all()
        if lost:
            self._tell_lost(self.name, reason, lost)

    @property
    def waiting(self) -> int:
        """What is neither exported nor lost yet."""
        return len(self._queue) + self._flying

    def counts(self) -> Counts:
        with self._changed:
            return Counts(self._offered, self._exported, dict(self._lost), self.waiting)

    def flush(self, timeout: float) -> bool:
        """Sends now instead of when a batch is full; False if that took longer."""
        with self._changed:
            self._hurried += 1
            self._changed.notify_all()
            done = self._changed.wait_for(lambda: not self.waiting, timeout)
            self._hurried -= 1
        return done

    def close(self, deadline: float) -> None:
        """Sends what waits, and returns within ``deadline`` seconds whatever the backend does; blocks meanwhile.

        What could not be sent by then is lost, once and for all: an answer that comes later is not counted.
        """
        with self._changed:
            if self._until is not None:
                return
            self._until = time.monotonic() + deadline
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(deadline)
        with self._changed:
            rest, self._over = self.waiting, True
            self._queue.clear()
            self._flying = 0
            self._lost["shutdown"] += rest
            self._changed.notify_all()
        if rest:
            self._tell_lost(self.name, "shutdown", rest)

    # In the thread

    def _run(self) -> None:
        while batch := self._next():
            self._deliver(batch, time.monotonic() + self._patience.batch)
            del batch  # or all of it would be kept until there is another one
        self._exporter.close()

    def _next(self) -> list[T]:
        """The next batch; empty at the end."""
        with self._changed:
            while not self._queue and self._until is None:
                self._idle = True
                self._changed.wait()
            self._idle = False
            full_by = time.monotonic() + self._patience.linger
            while len(self._queue) < self._batch and self._until is None and not self._hurried:
                if (left := full_by - time.monotonic()) <= 0:
                    break
                self._changed.wait(left)
            if self._over or self._given_up:
                return []
            self._flying = min(self._batch, len(self._queue))
            return [self._queue.popleft() for _ in range(self._flying)]

    def _deliver(self, batch: Sequence[T], give_up_at: float) -> None:
        """Tries until the batch is taken, or until it is lost."""
        packed = self._packed(batch)
        for number in range(1, self._patience.tries + 1):
            timeout = self._time_for_a_try()
            if self._given_up or timeout <= 0:
                self._given_up = True
                return
            answer = packed if isinstance(packed, Answer) else self._try(packed, timeout)
            if answer.taken:
                self._take(batch, answer)
                return
            if answer.too_large and len(batch) > 1:
                for half in (batch[: len(batch) // 2], batch[len(batch) // 2 :]):
                    self._deliver(half, give_up_at)
                return
            if self._until is not None and self._down:
                # It was down before, and still is: nobody waits for it at the end.
                self._given_up = True
                return
            wait = self._backoff(number) if answer.wait is None else answer.wait
            if not answer.again or number == self._patience.tries or time.monotonic() + wait > give_up_at:
                break
            self._pause(wait)
        self._fail(batch, answer.said)

    def _packed(self, batch: Sequence[T]) -> Any:
        try:
            return self._exporter.pack(batch)
        except Exception as error:
            return self._defect(error)

    def _time_for_a_try(self) -> float:
        if self._until is None:
            return self._patience.timeout
        return min(self._patience.timeout, self._until - time.monotonic())

    def _try(self, packed: Any, timeout: float) -> Answer:
        started = time.monotonic()
        try:
            answer = self._exporter.send(packed, timeout)
        except Exception as error:
            answer = self._defect(error)
        self._timed(self.name, "ok" if answer.taken else "failed", time.monotonic() - started)
        return answer

    def _defect(self, error: Exception) -> Answer:
        """Of ours: the batch is lost, the thread is not."""
        if not self._down:
            kind, frames = crash("".join(traceback.format_exception(error)))
            logging.getLogger("gateway.observe").error("the exporter of %s failed: %s\n%s", self.name, kind, frames)
        return Answer(taken=False, said=type(error).__name__)

    def _backoff(self, number: int) -> float:
        doubled: float = self._patience.backoff * 2 ** (number - 1)
        return doubled * (0.5 + self._jitter() / 2)

    def _pause(self, seconds: float) -> None:
        """Between two tries. When the end comes meanwhile, the next try is made at once."""
        with self._changed:
            closing = self._until is not None
            self._changed.wait_for(lambda: self._over or (self._until is not None and not closing), seconds)

    def _take(self, batch: Sequence[T], answer: Answer) -> None:
        refused = min(answer.refused, len(batch))
        self._settle(exported=len(batch) - refused, failed=refused)
        if refused and not self._refused:
            self._say("warning", "telemetry.refused", {"sink": self.name, "count": refused, "said": answer.said})
        self._refused = bool(refused)
        if self._down:
            self._say("info", "telemetry.sink_back", {"sink": self.name, "lost": self._lost_since})
            self._down, self._lost_since = False, 0

    def _fail(self, batch: Sequence[T], said: str) -> None:
        self._settle(exported=0, failed=len(batch))
        self._lost_since += len(batch)
        if not self._down:
            self._down = True
            self._say("error", "telemetry.sink_down", {"sink": self.name, "said": said, "lost": len(batch)})

    def _settle(self, exported: int, failed: int) -> None:
        with self._changed:
            if self._over:  # too late: all of it has been counted as lost
                return
            self._flying -= exported + failed
            self._exported += exported
            self._lost["failed"] += failed
            self._changed.notify_all()
        if exported:
            self._tell_exported(self.name, exported)
        if failed:
            self._tell_lost(self.name, "failed", failed)
