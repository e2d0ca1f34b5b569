"""A provider's pool of keys: which is next, which are cooling, which are dead."""

from __future__ import annotations

from collections.abc import Sequence

# A key the vendor refused may have been paid for or repaired meanwhile: after this many seconds one call may find out.
PROBE_AFTER = 60.0
# A rate limit that came without a time.
COOL_FOR = 5.0
# Models are named by clients: what has cooled down is cleared away when there are more than this.
MOST_COOLING = 1024


class Keys:
    """Keys in turn (round robin). A key cools per model, since vendors limit per model; it dies for all models.

    A provider without keys has the one key ``None``.
    """

    def __init__(self, keys: Sequence[str], known: Keys | None = None) -> None:
        """``known``: the pool before a reload. What it knows of keys that stay is taken over; it lives on by itself,
        for the calls that were begun with it."""
        self.keys: tuple[str | None, ...] = tuple(keys) or (None,)
        self._turn = 0
        self._cooling: dict[tuple[str | None, str], float] = {}
        self._dead: dict[str | None, float] = {}
        if known is not None:
            self._cooling = {each: until for each, until in known._cooling.items() if each[0] in self.keys}
            self._dead = {key: at for key, at in known._dead.items() if key in self.keys}

    def usable(self, model: str, now: float) -> bool:
        if not self._dead and not self._cooling:
            return True
        return any(self._fit(key, model, now) for key in self.keys)

    def take(self, model: str, now: float) -> str | None:
        """The next usable key; when none is, the one that is nearest to being so."""
        count = len(self.keys)
        for step in range(count):
            key = self.keys[(self._turn + step) % count]
            if self._fit(key, model, now):
                self._turn = (self._turn + step + 1) % count
                if key in self._dead:
                    # This call is the probe: others keep away from the key until it is answered.
                    self._dead[key] = now
                return key
        return min(self.keys, key=lambda key: self._usable_at(key, model))

    def cool(self, key: str | None, model: str, seconds: float | None, now: float) -> None:
        until = now + (COOL_FOR if seconds is None else seconds)
        if len(self._cooling) > MOST_COOLING:
            self._cooling = {each: until for each, until in self._cooling.items() if until > now}
        # Never shorten what is known: the longer deadline stands.
        self._cooling[key, model] = max(until, self._cooling.get((key, model), 0.0))

    def kill(self, key: str | None, now: float) -> None:
        self._dead[key] = now

    def revive(self, key: str | None) -> None:
        self._dead.pop(key, None)

    def states(self, now: float) -> list[str]:
        """``alive``, ``cooling`` or ``dead`` for each key, in order."""
        cooling = {key for (key, _), until in self._cooling.items() if until > now}
        return ["dead" if key in self._dead else "cooling" if key in cooling else "alive" for key in self.keys]

    def usable_at(self, model: str) -> float:
        """When the first of the keys may be used again."""
        return min(self._usable_at(key, model) for key in self.keys)

    def _usable_at(self, key: str | None, model: str) -> float:
        probed = self._dead[key] + PROBE_AFTER if key in self._dead else 0.0
        return max(probed, self._cooling.get((key, model), 0.0))

    def _fit(self, key: str | None, model: str, now: float) -> bool:
        died = self._dead.get(key)
        if died is not None and now - died < PROBE_AFTER:
            return False
        until = self._cooling.get((key, model))
        if until is not None and until <= now:
            del self._cooling[key, model]
        return until is None or until <= now
