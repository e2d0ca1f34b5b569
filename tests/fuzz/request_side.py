"""``python -m tests.fuzz.request_side [DIRECTORY]``: arbitrary bytes of clients at the lane and its reader of heads."""

from __future__ import annotations

import logging
import sys

import atheris

from .pieces import cuts, joined

with atheris.instrument_imports(include=["gateway.wire", "gateway.strand", "gateway.patience"]):
    from tests.wire.test_heads import PLAIN, agrees
    from tests.wire.test_lane_fuzz import FRAGMENTS, check, cut


def one(data: bytes) -> None:
    provider = atheris.FuzzedDataProvider(data)
    places = cuts(provider)
    said = joined(provider, [PLAIN, *FRAGMENTS])
    agrees(said)
    check(cut(said, places))


if __name__ == "__main__":
    logging.disable()
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
