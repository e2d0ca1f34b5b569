"""Several processes on one listening socket: started, replaced when they die, drained together.

The socket is open in every worker, so the kernel hands each connection to one that waits, and a worker that dies takes
no more with it than what it had accepted. A pipe tells the workers when the supervisor itself is gone.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from gateway.cli import FAILED, OK
from gateway.cli.serve import CLOSING, LAST_WORDS, log_format, settings
from gateway.errors import OperatorError
from gateway.observe import FLUSH, lines

# A worker that lived this long was a working one; its successor starts at once.
SETTLED = 5.0
MOST_QUICK_DEATHS = 5
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
# Past the drain, for last words and for the interpreter to end.
GRACE = LAST_WORDS + CLOSING + FLUSH + 3.0

# ``-m gateway`` would look into the working directory first, whatever is called gateway there.
_PROGRAM = "import sys; sys.path.append({place!r}); from gateway.__main__ import main; sys.exit(main())"


def supervise(count: int, arguments: argparse.Namespace, env: dict[str, str], listener: socket.socket) -> int:
    """Until a stop is asked for (0), or until workers do nothing but die (1)."""
    lifeline, held = os.pipe()
    try:
        inherited = (listener.fileno(), lifeline)
        return asyncio.run(_Supervisor(count, command(arguments, *inherited), env, inherited, arguments).run())
    finally:
        os.close(lifeline)
        os.close(held)


def command(arguments: argparse.Namespace, listener: int, lifeline: int) -> list[str]:
    """The worker's command line: what was said on ours, and the open files it inherits."""
    program = _PROGRAM.format(place=str(Path(__file__).parents[2]))
    words = [sys.executable, "-P", "-c", program, "serve", "--fd", str(listener), "--lifeline", str(lifeline)]
    for option in ("config", "host", "port", "log_format"):
        if (value := getattr(arguments, option, None)) is not None:
            words.append(f"--{option.replace('_', '-')}={value}")
    return words


class _Supervisor:
    def __init__(
        self,
        count: int,
        words: list[str],
        env: dict[str, str],
        inherited: tuple[int, ...],
        arguments: argparse.Namespace,
    ) -> None:
        self._count, self._words, self._env, self._inherited = count, words, env, inherited
        self._arguments = arguments
        self._running: dict[int, tuple[asyncio.subprocess.Process, float]] = {}
        self._stop = asyncio.Event()
        self._given_up = False
        self._drain_timeout = 30.0
        self._format = "json"

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        self._drain_timeout = self._drain()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        loop.add_signal_handler(signal.SIGHUP, self._tell, signal.SIGHUP)
        keepers = [loop.create_task(self._keep(number)) for number in range(1, self._count + 1)]
        stopping = loop.create_task(self._stop.wait())
        await asyncio.wait({stopping, *keepers}, return_when=asyncio.FIRST_COMPLETED)
        if not self._stop.is_set():
            self._end()
        _, late = await asyncio.wait(keepers, timeout=self._drain() + GRACE)
        if late:
            self._remark("workers.killed", f"{len(late)} workers did not end in time and are killed")
            self._tell(signal.SIGKILL)
            await asyncio.wait(late)
        for keeper in keepers:
            keeper.result()
        return FAILED if self._given_up else OK

    def _drain(self) -> float:
        """As configured now: a reload may have changed it."""
        with suppress(OperatorError):
            config = settings(self._arguments, self._env)
            self._drain_timeout, self._format = config.server.drain_timeout, log_format(self._arguments, config)
        return self._drain_timeout

    def _remark(self, name: str, message: str) -> None:
        lines.remark("warning", name, message, self._format)

    async def _keep(self, number: int) -> None:
        """One place among the workers: whoever is in it is replaced when it dies."""
        deaths = 0
        loop = asyncio.get_running_loop()
        while not self._stop.is_set():
            born = loop.time()
            end = await self._one(number)
            if self._stop.is_set():
                return
            deaths = 0 if loop.time() - born >= SETTLED else deaths + 1
            if deaths >= MOST_QUICK_DEATHS and not self._somebody_works():
                said = f"worker {number} {end} {deaths} times in a row as soon as it was started: giving up"
                self._remark("worker.given_up", said)
                self._given_up = True
                self._end()
                return
            pause = min(FIRST_PAUSE * 2 ** (deaths - 1), LONGEST_PAUSE) if deaths else 0.0
            later = f" in {pause:g} s" if pause else ""
            self._remark("worker.ended", f"worker {number} {end}; another one is started{later}")
            await self._rest(pause)

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()

    async def _one(self, number: int) -> str:
        """One worker, from its start to its end, and what that was."""
        env: Mapping[str, str] = {**self._env, "SKEIN_WORKER": str(number)}
        # A session of its own: ^C in a terminal reaches the supervisor alone, which passes it on once.
        try:
            worker = await asyncio.create_subprocess_exec(
                *self._words, env=env, pass_fds=self._inherited, start_new_session=True
            )
        except OSError as error:  # no process, memory or file left for it
            return f"could not be started ({error.strerror})"
        self._running[number] = worker, asyncio.get_running_loop().time()
        if self._stop.is_set():
            worker.send_signal(signal.SIGTERM)
        try:
            return ended(await worker.wait())
        finally:
            del self._running[number]

    def _somebody_works(self) -> bool:
        now = asyncio.get_running_loop().time()
        return any(now - born >= SETTLED for _, born in self._running.values())

    def _end(self) -> None:
        """The first time, workers drain; the second time, they leave."""
        self._stop.set()
        self._tell(signal.SIGTERM)

    def _tell(self, number: signal.Signals) -> None:
        for worker, _ in self._running.values():
            if worker.returncode is None:
                worker.send_signal(number)


def ended(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
