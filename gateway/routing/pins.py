"""A model chosen by hand, over whatever a strategy would choose.

1. ``x-skein-model``, for this request. 2. An operator's word for the session. 3. The last ``/model NAME`` of the
conversation; ``/model auto`` takes it back.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from gateway.routing import PinnedBy
from gateway.routing.turns import Reading

AUTO = "auto"
"""The name that takes a pin back."""


class Pin(msgspec.Struct, frozen=True):
    model: str
    by: PinnedBy
    last: bool = True
    """It was just said: one that cannot be followed is refused. An older one was refused then, and is passed over."""


def pin_of(header: str | None, session: str | None, reading: Callable[[], Reading] | None) -> Pin | None:
    """``session``: what an operator has set for it. ``reading``: None where nobody can have typed a command."""
    if header:
        return Pin(header, "x-skein-model")
    if session:
        return Pin(session, "admin")
    commands = reading().commands if reading else ()
    said = next((each for each in reversed(commands) if each.name == "model"), None)
    if said is None or said.argument == AUTO:
        return None
    return Pin(said.argument, "/model", said.last)
