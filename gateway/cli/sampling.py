"""``skein serve --profile FILE``: the Python functions that take the CPU time, sampled, for ``skein bench --flame``.

The timer counts CPU time of the whole process. A sample falls on the Python function that runs next on the main thread,
so time in C belongs to the function that called it, and that of other threads to whatever ran there meanwhile.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType

# The kernel may tick less often: 250 Hz is usual.
INTERVAL = 0.001


@contextmanager
def sampled(path: str) -> Iterator[None]:
    """At the end the file has a line for each stack: its functions, outermost first, with ``;``, and its samples."""
    stacks: Counter[tuple[tuple[CodeType, str], ...]] = Counter()

    def sample(_: int, frame: FrameType | None) -> None:
        stack = []
        while frame is not None:
            stack.append((frame.f_code, frame.f_globals.get("__name__", "")))
            frame = frame.f_back
        stacks[tuple(reversed(stack))] += 1

    signal.signal(signal.SIGPROF, sample)
    # A system call that was interrupted goes on.
    signal.siginterrupt(signal.SIGPROF, False)
    signal.setitimer(signal.ITIMER_PROF, INTERVAL, INTERVAL)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, signal.SIG_IGN)
        Path(path).write_text("".join(f"{_folded(stack)} {count}\n" for stack, count in stacks.items()))


def _folded(stack: tuple[tuple[CodeType, str], ...]) -> str:
    return ";".join(f"{module}:{code.co_qualname}".replace(" ", "_") for code, module in stack)
