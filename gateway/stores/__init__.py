"""Where small values are kept that outlive a request: behind one protocol, whoever keeps them."""

from __future__ import annotations

from typing import Protocol


class Store(Protocol):
    """Keeps small values for a while. Never raises, never holds a request up: what it cannot do is told."""

    async def get(self, key: str, /) -> bytes | None:
        """None for what is not there, or cannot be had now."""

    def put(self, key: str, value: bytes | None, /) -> None:
        """None takes it away. Returns at once; what cannot be kept is lost, and told."""

    async def close(self) -> None: ...
