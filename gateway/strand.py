"""Coroutines driven by hand, inside the event loop's own callbacks: no task, no future, until one is needed.

A coroutine waits for bytes with ``parked``. In a task that is a future, as everywhere in asyncio. A ``Strand`` resumes
its coroutine from the very callback that brought the bytes, which saves a pass of the event loop and its objects; what
waits for anything else of asyncio's (a sleep, another task) goes on as a task from there. The code that runs is the
same, and cannot tell. (A skein is made of strands.)

Inside a strand there is no current task: ``asyncio.timeout`` and the like need ``in_task()`` awaited before them.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

# A wait shorter than this has a timer of its own; the others are looked at by the tick they share.
SHORT = 0.4
TICK = 0.1

FOR_EVER = float("inf")


class Source(Protocol):
    """Something that is waited for. Whoever waits sets ``wake``; the source calls it when there is something to see.

    Never from within a call that the waiting one makes, and at most once for what it has not seen yet.
    """

    wake: Callable[[], None]


def nobody() -> None:
    """Wakes no one."""


class Parked:
    """What a strand's coroutine yields: wake me by ``source``, or at ``until`` (seconds of the loop's clock)."""

    __slots__ = ("source", "until")

    def __init__(self, source: Source, until: float) -> None:
        self.source, self.until = source, until


class _Leave:
    """What a strand's coroutine yields that must go on in a task."""


_LEAVE = _Leave()


@types.coroutine
def parked(source: Source, until: float = FOR_EVER) -> Generator[Any, Any, bool]:
    """Waits for the source. True: it woke us (perhaps for nothing); False: the time is over."""
    if asyncio.current_task() is None:
        woken: bool = yield Parked(source, until)
        return woken
    return (yield from _parked_in_task(source, until).__await__())


@types.coroutine
def in_task() -> Generator[Any, Any, None]:
    """From here on the code runs in a task."""
    if asyncio.current_task() is None:
        yield _LEAVE


async def _parked_in_task(source: Source, until: float) -> bool:
    loop = asyncio.get_running_loop()
    waiting: asyncio.Future[bool] = loop.create_future()
    timer = loop.call_at(until, _settle, waiting, False) if until != FOR_EVER else None
    source.wake = lambda: _settle(waiting, True)
    try:
        return await waiting
    finally:
        source.wake = nobody
        if timer:
            timer.cancel()


def _settle(waiting: asyncio.Future[bool], woken: bool) -> None:
    if not waiting.done():
        waiting.set_result(woken)


@types.coroutine
def briefly(work: Coroutine[Any, Any, T], seconds: float | None) -> Generator[Any, Any, T | asyncio.Task[T]]:
    """The result, if there is one within so many seconds (None: however long); else the task in which it goes on.

    Raises what the work raises. Cancelled, the work is cancelled with it.
    """
    loop = asyncio.get_running_loop()
    until = FOR_EVER if seconds is None else loop.time() + seconds
    if asyncio.current_task() is not None:
        return (yield from _task_within(loop.create_task(work), until).__await__())
    value, error = None, None
    while True:
        try:
            waits = work.send(value) if error is None else work.throw(error)
        except StopIteration as done:
            result: T = done.value
            return result
        finally:
            # An error's traceback holds this frame: a circle, if the frame went on holding the error.
            error = None
        if not isinstance(waits, Parked):
            task = loop.create_task(_going_on(work, waits))
            return (yield from _task_within(task, until).__await__())
        try:
            value = yield Parked(waits.source, min(waits.until, until))
        except BaseException as caught:
            error = caught
        else:
            if not value and waits.until > until:
                return loop.create_task(_going_on(work, waits))


async def _task_within(task: asyncio.Task[T], until: float) -> T | asyncio.Task[T]:
    loop = asyncio.get_running_loop()
    try:
        await asyncio.wait({task}, timeout=None if until == FOR_EVER else max(0.0, until - loop.time()))
    except BaseException:
        task.cancel()
        await asyncio.wait({task})
        raise
    return task.result() if task.done() else task


def _going_on(work: Coroutine[Any, Any, T], waits: Any) -> Coroutine[Any, Any, T]:
    """What is left of a coroutine that has stopped at ``waits``, for a task to run.

    It has begun: a task that is cancelled before its first step would not tell the work of it, had nothing begun.
    """
    rest = _rest(work, waits)
    rest.send(None)
    return rest


async def _rest(work: Coroutine[Any, Any, T], waits: Any) -> T:
    waiting, value, error = _first(waits), None, None
    while True:
        try:
            value = await waiting
        except BaseException as caught:
            error = caught
        try:
            waits = work.send(value) if error is None else work.throw(error)
        except StopIteration as done:
            result: T = done.value
            return result
        finally:
            error = None
        waiting = _waiting(waits)


@types.coroutine
def _first(waits: Any) -> Generator[Any, Any, Any]:
    """Up to here it is begun; the task's first step comes after. A source may have called in between: look at it."""
    yield
    return True if isinstance(waits, Parked) else (yield from _waiting(waits))


@types.coroutine
def _waiting(waits: Any) -> Generator[Any, Any, Any]:
    """Waits, in a task, for what the work has yielded."""
    if isinstance(waits, Parked):
        return (yield from _parked_in_task(waits.source, waits.until).__await__())
    if waits is _LEAVE:
        return None
    # A future of asyncio's, which the task that runs this now waits for.
    return (yield waits)


class Strand:
    """One coroutine driven by hand, made by ``Strands.begin``. ``ended`` is called once, when it has ended.

    Between two steps it waits for one source; from the moment it waits for anything else it is a task. Steps are made
    in the loop's callbacks: inside of somebody's task ``asyncio`` would take that for ours, so they are put off.
    What escapes the coroutine goes to the loop's exception handler.
    """

    __slots__ = ("_ended", "_running", "_strands", "_task", "_timer", "_work", "source", "until")

    def __init__(self, strands: Strands, work: Coroutine[Any, Any, Any], ended: Callable[[], None]) -> None:
        self._strands, self._work, self._ended = strands, work, ended
        self._running = False
        self._task: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.source: Source | None = None
        self.until = FOR_EVER

    def cancel(self) -> None:
        """``CancelledError`` is raised where it waits. Not to be called by what it runs itself."""
        if self._task is not None:
            self._task.cancel()
        elif asyncio.current_task() is not None:
            self._strands.loop.call_soon(self.cancel)
        elif self.source is not None:
            self._step(self._work.throw, asyncio.CancelledError())

    def woken(self) -> None:
        """Its source has something. Does nothing while it runs: it looks at its source before it waits again."""
        if self._running or self.source is None:
            return
        if asyncio.current_task() is not None:
            self._strands.loop.call_soon(self.woken)
        else:
            self._step(self._work.send, True)

    def late(self) -> None:
        """The time that it wanted to wait is over."""
        if not self._running and self.source is not None:
            self._step(self._work.send, False)

    def _step(self, resume: Callable[[Any], Any], value: Any) -> None:
        if self.source is not None:
            self.source.wake = nobody
            self.source = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._running = True
        try:
            waits = resume(value)
        except (StopIteration, asyncio.CancelledError):
            self._end()
        except Exception as error:
            self._escaped(error)
            self._end()
        else:
            if isinstance(waits, Parked):
                self._park(waits)
            else:
                self._task = self._strands.loop.create_task(_going_on(self._work, waits))
                self._task.add_done_callback(self._ran)
        finally:
            self._running = False
            # It may be an error, whose traceback holds this frame: a circle.
            del value

    def _park(self, waits: Parked) -> None:
        self.source, self.until = waits.source, waits.until
        waits.source.wake = self.woken
        if waits.until != FOR_EVER:
            loop = self._strands.loop
            if waits.until - loop.time() < SHORT:
                self._timer = loop.call_at(waits.until, self.late)

    def _ran(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (error := task.exception()):
            self._escaped(error)
        self._end()

    def _escaped(self, error: BaseException) -> None:
        """A defect: what runs as a strand is to end by itself. Whoever woke it is not to suffer from it."""
        said = {"message": "an exception escaped a strand", "exception": error}
        self._strands.loop.call_exception_handler(said)

    def _end(self) -> None:
        self._strands.running.discard(self)
        self._ended()


class Strands:
    """The strands of one event loop, and the tick that looks at their clocks while there are any."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.running: set[Strand] = set()
        self._ticking = False

    def begin(self, work: Coroutine[Any, Any, Any], ended: Callable[[], None]) -> Strand:
        """Runs the coroutine up to where it first waits."""
        strand = Strand(self, work, ended)
        self.running.add(strand)
        if not self._ticking:
            self._ticking = True
            self.loop.call_later(TICK, self._tick)
        strand._step(work.send, None)
        return strand

    def _tick(self) -> None:
        now = self.loop.time()
        for strand in [each for each in self.running if each.until <= now]:
            strand.late()
        self._ticking = bool(self.running)
        if self._ticking:
            self.loop.call_later(TICK, self._tick)
