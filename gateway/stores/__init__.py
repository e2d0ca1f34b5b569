"""Where small values are kept that outlive a request: behind one protocol, whoever keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class Store(Protocol):
    """Keeps small values for a while. Never raises, never holds a request up: what it cannot do is told."""

    @property
    def table(self) -> Mapping[str, bytes]:
        """What was entered, here or by another process of the same store: known without asking, a moment late.

        Its names tell nothing. Another mapping each time something in it has changed.
        """

    async def get(self, key: str, /) -> bytes | None:
        """None for what is not there, or cannot be had now."""

    async def several(self, keys: Sequence[str], /) -> list[bytes | None]:
        """``get`` of each, in order; of those that take time all at once."""

    def put(self, key: str, value: bytes | None, /) -> None:
        """None takes it away. Returns at once; what cannot be kept is lost, and told."""

    def enter(self, name: str, value: bytes | None, /) -> None:
        """Into ``table``, at once here and soon everywhere: for the few things that every request asks for."""

    def start(self) -> None:
        """To be called in the event loop, once, before the first request."""

    async def close(self) -> None: ...
