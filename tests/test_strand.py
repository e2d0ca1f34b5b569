"""Coroutines driven by hand: whatever happens to one, it learns of it once, and nothing of it is left."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import pytest

from gateway.strand import FOR_EVER, SHORT, Strand, Strands, briefly, in_task, nobody, parked

T = TypeVar("T")

# What nobody awaited or retrieved is told as a warning.
pytestmark = pytest.mark.filterwarnings("error")


class Well:
    """A source of drops, which are drawn one by one."""

    def __init__(self) -> None:
        self.drops = 0
        self.wake: Callable[[], None] = nobody

    def fill(self) -> None:
        self.drops += 1
        self.wake()

    async def draw(self, until: float = FOR_EVER) -> bool:
        """False: the time is over."""
        while not self.drops:
            if not await parked(self, until):
                return False
        self.drops -= 1
        return True


class Loop(asyncio.SelectorEventLoop):
    """Its clock can be put forward."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


class World:
    """A loop with strands, seen from a task that does everything in callbacks, as a socket would."""

    def __init__(self, loop: Loop) -> None:
        self.loop, self.strands = loop, Strands(loop)
        self.well = Well()
        self.said: list[Any] = []
        self.ended = 0
        self.escaped: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda _, said: self.escaped.append(said))

    async def do(self, function: Callable[[], T]) -> T:
        """In a callback of the loop's, and a round of the loop later."""
        done: asyncio.Future[T] = self.loop.create_future()
        self.loop.call_soon(lambda: done.set_result(function()))
        return await done

    async def begin(self, work: Coroutine[Any, Any, Any]) -> Strand:
        return await self.do(lambda: self.strands.begin(self.noting(work), self.end))

    def end(self) -> None:
        self.ended += 1

    async def noting(self, work: Coroutine[Any, Any, Any]) -> None:
        try:
            self.said.append(await work)
        except asyncio.CancelledError:
            self.said.append("cancelled")
            raise

    async def rounds(self, number: int = 10) -> None:
        for _ in range(number):
            await asyncio.sleep(0)

    async def later(self, seconds: float) -> None:
        """So many seconds pass at once; what was to come in between comes."""
        self.loop.ahead += seconds
        await asyncio.sleep(0)
        await self.rounds()


def told(story: Callable[[World], Awaitable[None]], escapes: int = 0) -> list[Any]:
    """What a strand's coroutines said in a story, after which nothing is left of it."""
    loop = Loop()
    try:
        asyncio.set_event_loop(loop)
        world = World(loop)
        loop.run_until_complete(story(world))
        loop.run_until_complete(world.rounds())
        assert not world.strands.running
        assert world.well.wake is nobody
        assert not asyncio.all_tasks(loop)
        gc.collect()
        assert len(world.escaped) == escapes, world.escaped
        return world.said
    finally:
        asyncio.set_event_loop(None)
        loop.close()


# --- cancelled, wherever it is


async def asleep(world: World) -> None:
    await asyncio.sleep(3600)


async def drawing(world: World) -> None:
    await world.well.draw()


async def drawing_for_a_time(world: World) -> None:
    await world.well.draw(world.loop.time() + 3600)


async def drawing_for_a_moment(world: World) -> None:
    await world.well.draw(world.loop.time() + SHORT / 2)


async def drawing_in_a_task(world: World) -> None:
    await in_task()
    await world.well.draw()


async def within_a_timeout(world: World) -> None:
    await in_task()
    async with asyncio.timeout(3600):
        await world.well.draw()


async def drawing_briefly(world: World) -> None:
    await briefly(world.noting(drawing(world)), 3600)


async def asleep_briefly(world: World) -> None:
    await briefly(world.noting(asleep(world)), None)


async def asleep_briefly_in_a_task(world: World) -> None:
    await in_task()
    await briefly(world.noting(asleep(world)), None)


STATES = [
    asleep,
    drawing,
    drawing_for_a_time,
    drawing_for_a_moment,
    drawing_in_a_task,
    within_a_timeout,
    drawing_briefly,
    asleep_briefly,
    asleep_briefly_in_a_task,
]


@pytest.mark.parametrize("rounds", [0, 1, 2, 3, 10])
@pytest.mark.parametrize("inside", ["callback", "task"])
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_it_is_cancelled_once_wherever_it_waits(
    state: Callable[[World], Coroutine[Any, Any, None]], inside: str, rounds: int
) -> None:
    async def story(world: World) -> None:
        made: list[Strand] = []
        # Cancelled in the very round it began in: a task of its own has not run yet.
        world.loop.call_soon(lambda: made.append(world.strands.begin(world.noting(state(world)), world.end)))
        for _ in range(rounds):
            await asyncio.sleep(0)
        await (world.rounds(1) if rounds else asyncio.sleep(0))
        if inside == "callback":
            world.loop.call_soon(made[0].cancel)
        else:
            made[0].cancel()
        await world.rounds()
        assert world.ended == 1
        made[0].cancel()
        await world.rounds()
        assert world.ended == 1

    assert set(told(story)) == {"cancelled"}


def test_it_may_take_a_cancellation_as_a_word_and_go_on() -> None:
    async def stubborn(world: World) -> str:
        try:
            await world.well.draw()
        except asyncio.CancelledError:
            return f"drawn: {await world.well.draw()}"
        return "never"

    async def story(world: World) -> None:
        strand = await world.begin(stubborn(world))
        await world.do(strand.cancel)
        await world.do(world.well.fill)

    assert told(story) == ["drawn: True"]


# --- woken


def test_it_is_resumed_in_the_callback_that_woke_it() -> None:
    async def story(world: World) -> None:
        await world.begin(world.well.draw())

        def fill() -> list[Any]:
            world.well.fill()
            return list(world.said)

        assert await world.do(fill) == [True]

    assert told(story) == [True]


def test_being_woken_for_nothing_is_nothing() -> None:
    async def story(world: World) -> None:
        strand = await world.begin(world.well.draw())
        for _ in range(3):
            await world.do(world.well.wake)
        assert world.said == []
        await world.do(world.well.fill)
        # Too late for everything.
        for word in (strand.woken, strand.late, strand.cancel):
            await world.do(word)

    assert told(story) == [True]


def test_what_comes_while_it_runs_is_seen_before_it_waits() -> None:
    async def story(world: World) -> None:
        strand: Strand

        async def busy() -> str:
            await world.well.draw()
            # Words to one that runs.
            strand.woken()
            strand.late()
            world.well.fill()
            return f"{await world.well.draw()}, {world.well.drops} left"

        strand = await world.begin(busy())
        await world.do(world.well.fill)

    assert told(story) == ["True, 0 left"]


@pytest.mark.parametrize("seconds", [SHORT / 2, SHORT * 4])
@pytest.mark.parametrize("woken", [True, False])
def test_it_is_woken_or_late(seconds: float, woken: bool) -> None:
    async def story(world: World) -> None:
        await world.begin(world.well.draw(world.loop.time() + seconds))
        if woken:
            await world.do(world.well.fill)
        await world.later(seconds + 1)
        assert world.said == [woken]

    assert told(story) == [woken]


def test_the_clock_goes_on_for_those_that_come_later() -> None:
    async def story(world: World) -> None:
        for _ in range(3):
            await world.begin(world.well.draw(world.loop.time() + 2))
            await world.later(1)
            await world.later(3)

    assert told(story) == [False, False, False]


@pytest.mark.parametrize("word", ["woken", "cancelled"])
def test_a_step_is_never_made_within_somebody_elses_task(word: str) -> None:
    """``asyncio.timeout`` would cancel the task that happened to wake it, and ``in_task`` believe it is in one."""

    async def timed(world: World) -> str:
        with suppress(asyncio.CancelledError):
            await world.well.draw()
        await in_task()
        try:
            async with asyncio.timeout(5):
                await asyncio.sleep(3600)
        except TimeoutError:
            return "timed out"
        return "never"

    async def story(world: World) -> None:
        strand = await world.begin(timed(world))
        (world.well.fill if word == "woken" else strand.cancel)()
        await world.rounds()
        await world.later(10)
        assert not asyncio.current_task().cancelling()  # type: ignore[union-attr]

    assert told(story) == ["timed out"]


# --- what goes wrong


@pytest.mark.parametrize("first", ["at once", "woken", "late", "in a task"])
def test_what_escapes_is_told_to_the_loop_and_harms_nobody_else(first: str) -> None:
    async def failing(world: World) -> None:
        if first == "woken":
            await world.well.draw()
        elif first == "late":
            await Well().draw(world.loop.time() + 2)
        elif first == "in a task":
            await in_task()
        raise ValueError("oh")

    async def story(world: World) -> None:
        await world.begin(failing(world))
        other = Well()
        await world.begin(other.draw(world.loop.time() + 4))
        await world.do(world.well.fill)
        world.well.drops = 0
        await world.later(3)
        await world.later(3)
        assert world.ended == 2
        assert [str(said["exception"]) for said in world.escaped] == ["oh"]

    assert told(story, escapes=1) == [False]


# --- briefly


async def number(world: World, wait: str) -> int:
    if wait == "parked":
        await world.well.draw()
    elif wait == "slept":
        await asyncio.sleep(1)
    return 7


@pytest.mark.parametrize("tasked", [False, True])
@pytest.mark.parametrize("wait", ["", "parked", "slept"])
def test_what_is_done_in_time_is_a_result(wait: str, tasked: bool) -> None:
    async def story(world: World) -> None:
        async def work() -> Any:
            if tasked:
                await in_task()
            return await briefly(number(world, wait), 60)

        await world.begin(work())
        await world.rounds()
        if wait == "parked":
            await world.do(world.well.fill)
        await world.later(2)

    assert told(story) == [7]


@pytest.mark.parametrize("tasked", [False, True])
@pytest.mark.parametrize("wait", ["parked", "slept"])
def test_what_takes_longer_goes_on_in_a_task(wait: str, tasked: bool) -> None:
    async def story(world: World) -> None:
        async def work() -> Any:
            if tasked:
                await in_task()
            task = await briefly(number(world, wait), 0.6)
            assert isinstance(task, asyncio.Task)
            world.said.append("late")
            await in_task()
            return await task

        await world.begin(work())
        await world.rounds()
        await world.later(0.8)
        await world.later(0.1)
        assert world.said[:1] == ["late"]
        await world.do(world.well.fill)
        world.well.drops = 0
        await world.later(2)

    assert told(story) == ["late", 7]


def test_what_comes_before_the_task_has_run_is_seen_by_it() -> None:
    async def story(world: World) -> None:
        async def work() -> Any:
            task = await briefly(number(world, "parked"), 0.1)
            # Nobody is told: the task that is to wait for it has not run.
            world.well.fill()
            await in_task()
            return await task  # type: ignore[misc]

        await world.begin(work())
        await world.later(0.2)

    assert told(story) == [7]


@pytest.mark.parametrize("rounds", [0, 1, 5])
@pytest.mark.parametrize("wait", ["parked", "slept"])
def test_what_is_late_and_then_cancelled_learns_of_it(wait: str, rounds: int) -> None:
    async def story(world: World) -> None:
        async def work() -> Any:
            task = await briefly(world.noting(number(world, wait)), 0.1)
            assert isinstance(task, asyncio.Task)
            await in_task()
            for _ in range(rounds):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})
            return task.cancelled()

        await world.begin(work())
        await world.later(0.2)
        await world.later(0.2)

    assert told(story) == ["cancelled", True]


def test_it_raises_what_the_work_raises() -> None:
    async def story(world: World) -> None:
        async def failing(wait: str) -> None:
            await number(world, wait)
            raise ValueError(wait)

        async def work() -> list[str]:
            said = []
            for wait in ("", "parked", "slept"):
                with pytest.raises(ValueError) as raised:  # noqa: PT011 - what it says is in the list
                    await briefly(failing(wait), None)
                said.append(str(raised.value))
            return said

        await world.begin(work())
        await world.do(world.well.fill)
        await world.later(2)

    assert told(story) == [["", "parked", "slept"]]
