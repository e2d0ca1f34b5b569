"""A model chosen by hand, over whatever a strategy would choose.

1. ``x-skein-model``, for this request. 2. An operator's word for the session. 3. The last ``/model NAME`` of the
conversation that can be followed; ``/model auto`` takes it back. 4. Nobody's: the model the request names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from gateway.errors import CallerError
from gateway.routing import PinnedBy
from gateway.routing.turns import AUTO, Command, Reading

# Older commands that are looked at when newer ones cannot be followed.
MOST_OLDER = 8


class Pin(msgspec.Struct, frozen=True):
    model: str
    by: PinnedBy
    last: bool = True
    """It was just said: one that cannot be followed is refused. An older one was refused then, and is passed over."""

    def passes(self, error: CallerError) -> bool:
        """Is it passed over for this error? A session must not end over what was said, or was there, long ago."""
        if self.by == "admin":
            # Unknown since a reload, or without this operation. What the caller may not use stays refused.
            return error.code != "model_not_allowed"
        return self.by == "/model" and not self.last


def pins_of(header: str | None, session: str | None, reading: Callable[[], Reading] | None) -> Iterator[Pin]:
    """The pins to try in turn. ``session``: what an operator has set for it.

    ``reading``: None where nobody can have typed a command.
    """
    if header:
        yield Pin(header, "x-skein-model")
        return
    if session:
        yield Pin(session, "admin")
    if reading is not None:
        yield from _typed(reading().commands)


def _typed(commands: tuple[Command, ...]) -> Iterator[Pin]:
    """Newest first. One that was refused has changed nothing: the one before it still holds."""
    tried: set[str] = set()
    for command in reversed(commands):
        if command.name != "model" or command.argument in tried:
            continue
        if command.argument == AUTO or len(tried) == MOST_OLDER:
            return
        tried.add(command.argument)
        yield Pin(command.argument, "/model", command.last)
