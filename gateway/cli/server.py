"""uvicorn's server, taught to drain: told once it finishes, told twice it hurries, told three times it leaves."""

from __future__ import annotations

import asyncio
import gc
import signal
from typing import Any

import uvicorn

from gateway import events
from gateway.app import Runtime, build_app, digest, protocol
from gateway.cli.serve import LAST_WORDS

# Objects made and not freed before the garbage collector looks for cycles among them.
GC_AFTER = 10_000


class Server(uvicorn.Server):
    """``closing``: seconds connections have to close at the end. ``lifeline``: a pipe that ends with its keeper."""

    def __init__(self, runtime: Runtime, url: str, closing: int, lifeline: int | None) -> None:
        app = build_app(runtime)
        settings = uvicorn.Config(
            app,
            http=protocol(runtime.config, app),
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=closing,
        )
        super().__init__(settings)
        self._runtime, self._url, self._lifeline = runtime, url, lifeline
        self._loop: asyncio.AbstractEventLoop | None = None
        self._draining: asyncio.Task[None] | None = None
        self._signals = 0

    def handle_exit(self, sig: int, frame: Any) -> None:
        self._signals += 1
        if self._loop is None or self._signals > 2:
            self.should_exit = self.force_exit = True
        else:
            self._loop.call_soon_threadsafe(self._begin_drain if self._signals == 1 else self._runtime.cut)

    async def startup(self, sockets: Any = None) -> None:
        self._loop = loop = asyncio.get_running_loop()
        await super().startup(sockets)
        gc.collect()
        gc.freeze()
        # What a request leaves is freed without the collector: looking for cycles less often costs nothing but time.
        gc.set_threshold(GC_AFTER, 10, 10)
        config, clock = self._runtime.config, self._runtime.clock
        self._runtime.emit(
            events.GatewayStarted(
                at=clock(),
                url=self._url,
                source=config.source,
                models=len(config.models),
                digest=digest(config),
            )
        )
        loop.add_signal_handler(signal.SIGHUP, self._runtime.reload)
        if self._lifeline is not None:
            loop.add_reader(self._lifeline, self._orphaned, loop, self._lifeline)

    def _begin_drain(self) -> None:
        self._runtime.drain()
        self._draining = asyncio.get_running_loop().create_task(self._drain())

    async def _drain(self) -> None:
        await self._runtime.emptied(self._runtime.config.server.drain_timeout)
        self._runtime.cut()
        await self._runtime.emptied(LAST_WORDS)
        self.should_exit = True

    def _orphaned(self, loop: asyncio.AbstractEventLoop, lifeline: int) -> None:
        """The supervisor is gone without a word: nobody would ever stop this worker."""
        loop.remove_reader(lifeline)
        self.handle_exit(signal.SIGTERM, None)
