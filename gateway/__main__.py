"""``python -m gateway`` and the ``skein`` command."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress


def main() -> int:
    if sys.argv[1:2] == ["serve"]:
        # Until there is something to reload: by default it would end the process.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    _open_all_three()
    from gateway.cli import run
    from gateway.cli.printing import let_go

    try:
        return run(sys.argv[1:])
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                let_go(stream)


def _open_all_three() -> None:
    """A stream that was closed before us (``2>&-``) is opened on nothing: its number must not become a socket's."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            # Nobody will see results: writing them fails. Remarks are dropped.
            with suppress(OSError):
                os.open(os.devnull, os.O_RDONLY if number == 1 else os.O_RDWR)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


if __name__ == "__main__":
    sys.exit(main())
