"""What a fuzzer's bytes say: pieces of a table, and bytes of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def cuts(provider: Any) -> list[int]:
    return provider.ConsumeIntListInRange(provider.ConsumeIntInRange(0, 6), 0, 2000)


def joined(provider: Any, pieces: Sequence[bytes]) -> bytes:
    said = []
    while provider.remaining_bytes():
        which = provider.ConsumeIntInRange(0, len(pieces) + len(pieces) // 4)
        said.append(pieces[which] if which < len(pieces) else provider.ConsumeBytes(provider.ConsumeIntInRange(1, 8)))
    return b"".join(said)
