"""Which tool is meant by the name that a model has called? The one on offer, or nobody knows."""

from __future__ import annotations

import re
from collections.abc import Iterable

LONGEST = 256
"""Characters of a name that is looked at."""

_TOKENS = re.compile(r"<[|｜].*", re.DOTALL)
"""What follows the name where a model's own marks were not taken out: ``shell<|channel|>json``."""
_INDEX = re.compile(r":\d{1,4}\Z|\(\)\Z")
"""``functions.shell:0`` (Kimi), ``shell()``."""
_SPACES = re.compile(r"\.|/|::?|__")
"""What stands between a namespace and a name."""


class Offered:
    """The names on offer, and what each may be mistaken for."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = frozenset(names)
        self._alike: dict[str, set[str]] = {}
        self._last: dict[str, set[str]] = {}
        for name in self.names:
            self._alike.setdefault(_plain(name), set()).add(name)
            self._last.setdefault(_plain(_SPACES.split(name)[-1]), set()).add(name)

    def meant(self, called: str) -> str | None:
        """1. Just that name. 2. With what does not belong to it cut off. 3. Written otherwise. 4. Without the
        namespace that the model has put before it. 5. With the one it has left out. None where several would do."""
        if called in self.names:
            return called
        if len(called) > LONGEST:
            return None
        name = _INDEX.sub("", _TOKENS.sub("", called).strip(" \t\r\n\"'`")).strip()
        if name in self.names:
            return name
        pieces = _SPACES.split(name)
        for form in [_plain(name), *(_plain("".join(pieces[start:])) for start in range(1, len(pieces)))]:
            if form and (found := self._alike.get(form)):
                return next(iter(found)) if len(found) == 1 else None
        found = self._last.get(_plain(pieces[-1]))
        return next(iter(found)) if found and len(found) == 1 else None


def _plain(name: str) -> str:
    """Letters and digits alone, of one case: ``Read-File`` and ``read_file`` are the same."""
    return "".join(filter(str.isalnum, name)).casefold()
