"""The models an operator has set for sessions: known without asking, shared by all processes of one store."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from gateway import events
from gateway.errors import CallerError
from gateway.stores import Store


class Pinning(msgspec.Struct, frozen=True):
    """One session's model. ``since`` and ``until`` are epoch seconds."""

    session: str
    model: str
    since: float
    until: float


class Pinned:
    """``of`` is asked by every request, ``pin`` and ``free`` by operators."""

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float],
        emit: events.Observer,
        *,
        seconds: float,
        most: int,
        resolve: Callable[[str], object],
    ) -> None:
        """A pin that nobody uses ends after ``seconds``. ``resolve`` raises ``CallerError`` for an unknown model."""
        self._store, self._clock, self._emit = store, clock, emit
        self._seconds, self._most, self._resolve = seconds, most, resolve
        self._read: Mapping[str, bytes] = {}
        self._known: dict[str, Pinning] = {}

    def of(self, session: str) -> str | None:
        found = self.find(session)
        if found is None:
            return None
        if found.until - self._clock() < self._seconds / 2:
            # Used, so kept: told seldom enough to cost nothing.
            self._keep(msgspec.structs.replace(found, until=self._clock() + self._seconds))
        return found.model

    def find(self, session: str) -> Pinning | None:
        found = self._all().get(session)
        return found if found and found.until > self._clock() else None

    def pins(self) -> list[Pinning]:
        """Newest first."""
        now = self._clock()
        return sorted((each for each in self._all().values() if each.until > now), key=lambda each: -each.since)

    def pin(self, session: str, model: str) -> Pinning:
        """From the session's next request on. Raises ``CallerError``: 404 for an unknown model, 409 for too many."""
        self._resolve(model)
        if self.find(session) is None and len(self.pins()) >= self._most:
            said = f"{self._most} sessions are pinned already (sessions.max): take one back first"
            raise CallerError(409, "too_many_pins", said, origin="gateway")
        now = self._clock()
        made = Pinning(session, model, now, now + self._seconds)
        self._keep(made)
        self._emit(events.SessionPinned(at=now, session=session, model=model))
        return made

    def free(self, session: str) -> None:
        """What is not pinned may be freed, too."""
        if self.find(session) is not None:
            self._emit(events.SessionPinned(at=self._clock(), session=session, model=None))
        self._store.enter(session, None)

    def sweep(self) -> None:
        """Lets go of pins that have ended."""
        for each in list(self._all().values()):
            if each.until <= self._clock():
                self._store.enter(each.session, None)

    def _keep(self, pinning: Pinning) -> None:
        self._store.enter(pinning.session, msgspec.json.encode(pinning))

    def _all(self) -> Mapping[str, Pinning]:
        if self._read is not self._store.table:
            self._read = self._store.table
            self._known = {each.session: each for each in map(_read, self._read.values()) if each}
        return self._known


def _read(said: bytes) -> Pinning | None:
    """None for what another version of the gateway may have entered."""
    try:
        return msgspec.json.decode(said, type=Pinning)
    except ValueError:
        return None
