"""How much of a context window is kept free for an answer whose length nobody has bounded."""

ROOM = 4096
"""Tokens; of a small window, a quarter."""


def room_in(window: int) -> int:
    return min(ROOM, window // 4)
