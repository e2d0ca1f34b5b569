"""``python -m tests.fuzz.response_side [DIRECTORY]``: arbitrary bytes of vendors at a connection of the pool."""

from __future__ import annotations

import sys

import atheris

from .pieces import cuts, joined

with atheris.instrument_imports(include=["gateway.wire"]):
    from gateway.errors import Fault
    from tests.wire.test_answers import CHUNKED, GET, HEAD, OK, PIECES, Line, all_of
    from tests.wire.test_lane_fuzz import cut


def one(data: bytes) -> None:
    """However it is cut, there is one end of one answer, and it is the same answer."""
    provider = atheris.FuzzedDataProvider(data)
    places, method = cuts(provider), HEAD if provider.ConsumeIntInRange(0, 9) == 9 else GET
    said = joined(provider, [OK, CHUNKED, *PIECES])
    status, content, end = heard(method, [said])
    again = heard(method, cut(said, places))
    assert again[:2] == (status, content)
    assert isinstance(again[2], Fault) == isinstance(end, Fault)


def heard(method: str, reads: list[bytes]) -> tuple[int, bytes, object]:
    line = Line()
    try:
        answer = line.ask(method)
        line.hear(*reads)
        kept = line.kept
        line.hang_up()
        content, end = all_of(answer)
        assert end is not None
        assert line.open == 0
        assert line.connection.closed
        assert kept <= 1
        assert not (isinstance(end, Fault) and kept)
        return answer.status, content, end
    finally:
        line.leave()


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
