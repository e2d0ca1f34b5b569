"""W3C trace context: which headers are believed, what is handed on, and who is sampled."""

from __future__ import annotations

import random

import pytest
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased

from gateway.trace_context import Trace, trace_of

ID, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CHANCE = random.Random(7).getrandbits

# A header, and whether it is sampled; None: the header says nothing that can be believed.
# https://www.w3.org/TR/trace-context-1/#traceparent-header
PARENTS: list[tuple[str, bool | None]] = [
    (f"00-{ID}-{SPAN}-01", True),
    (f"00-{ID}-{SPAN}-00", False),
    (f"00-{ID}-{SPAN}-02", False),
    (f"00-{ID}-{SPAN}-ff", True),
    (f" 00-{ID}-{SPAN}-01\t", True),
    # A version yet to come may say more, behind another dash.
    (f"cc-{ID}-{SPAN}-01", True),
    (f"cc-{ID}-{SPAN}-01-what-the-future-will-be-like", True),
    (f"cc-{ID}-{SPAN}-01-", True),
    (f"cc-{ID}-{SPAN}-01.what-the-future-will-be-like", None),
    (f"00-{ID}-{SPAN}-01-what-the-future-will-be-like", None),
    (f"00-{ID}-{SPAN}-01-", None),
    (f"ff-{ID}-{SPAN}-01", None),
    (f"00-{'0' * 32}-{SPAN}-01", None),
    (f"00-{ID}-{'0' * 16}-01", None),
    (f"00-{ID.upper()}-{SPAN}-01", None),
    (f"00-{ID}-{SPAN.upper()}-01", None),
    (f"CC-{ID}-{SPAN}-01", None),
    (f"00-{ID[1:]}-{SPAN}-01", None),
    (f"00-{ID}0-{SPAN}-01", None),
    (f"00-{ID}-{SPAN[1:]}-01", None),
    (f"00-{ID}-{SPAN}0-01", None),
    (f"00-{ID}-{SPAN}-1", None),
    (f"00-{ID}-{SPAN}-001", None),
    (f"0-{ID}-{SPAN}-01", None),
    (f"000-{ID}-{SPAN}-01", None),
    (f".0-{ID}-{SPAN}-01", None),
    (f"00-.{ID[1:]}-{SPAN}-01", None),
    (f"00-{ID}-.{SPAN[1:]}-01", None),
    (f"00-{ID}-{SPAN}-.1", None),
    (f"00_{ID}_{SPAN}_01", None),
    (f"00-{ID}-{SPAN}", None),
    (f"00-{ID}-{SPAN}-01,00-{ID}-{SPAN}-01", None),
    ("", None),
]


@pytest.mark.parametrize(("header", "sampled"), PARENTS)
def test_whose_trace_it_is(header: str, sampled: bool | None):
    trace = trace_of({"traceparent": header, "tracestate": "a=1"}, CHANCE, 0.0)
    if sampled is None:
        assert (trace.parent, trace.parent_sampled, trace.sampled, trace.state) == (None, None, False, "")
        assert trace.trace_id != ID
    else:
        assert (trace.trace_id, trace.parent, trace.state) == (ID, int(SPAN, 16), "a=1")
        assert (trace.parent_sampled, trace.sampled) == (sampled, sampled)


# https://www.w3.org/TR/trace-context-1/#tracestate-header
STATES: list[tuple[str, bool]] = [
    ("foo=1", True),
    ("foo=1,bar=2", True),
    ("foo=1 , \tbar=2 ", True),
    ("foo=1,,bar=2, ,", True),
    ("foo@bar=1,f_-*/0=x y", True),
    (f"{'z' * 256}=1", True),
    (f"{'t' * 241}@{'v' * 14}=1", True),
    (f"foo={'v' * 256}", True),
    (",".join(f"bar{number:02}=1" for number in range(32)), True),
    (",".join(f"bar{number:02}=1" for number in range(33)), False),
    (f"foo={'v' * 200},bar={'v' * 200},baz={'v' * 98}", True),  # 512 characters
    (f"foo={'v' * 200},bar={'v' * 200},baz={'v' * 99}", False),
    (f"foo={'v' * 257}", False),
    (f"{'z' * 257}=1", False),
    (f"{'t' * 242}@v=1", False),
    (f"t@{'v' * 15}=1", False),
    ("foo", False),
    ("foo=", False),
    ("foo =1", False),
    ("FOO=1", False),
    ("foo@=1,bar=2", False),
    ("@foo=1,bar=2", False),
    ("foo@@bar=1,bar=2", False),
    ("foo=bar=baz", False),
    ("foo=1\r\nx-evil: 1", False),
    ("foo=\x7f", False),
    ("foo=é", False),
]


@pytest.mark.parametrize(("state", "kept"), STATES)
def test_tracestate_is_handed_on_as_it_is_or_not_at_all(state: str, kept: bool):
    trace = trace_of({"traceparent": f"00-{ID}-{SPAN}-01", "tracestate": state}, CHANCE, 1.0)
    assert trace.state == (state if kept else "")
    assert trace.trace_id == ID, "a tracestate that cannot be read says nothing about the traceparent"


@pytest.mark.parametrize("ratio", [0.0, 1e-9, 0.1, 0.5, 1.0])
def test_a_ratio_is_decided_by_the_id_as_opentelemetry_decides(ratio: float):
    sampler = TraceIdRatioBased(ratio)
    draws = random.Random(11).getrandbits
    edges = [(1 << 64) - 1, 1 << 64, int(ratio * 2**64), max(1, int(ratio * 2**64) - 1)]
    for id in [*edges, *(draws(128) for _ in range(2000))]:
        trace = trace_of({}, lambda bits, id=id: id if bits == 128 else 1, ratio)
        expected = sampler.should_sample(None, trace.id, "").decision is Decision.RECORD_AND_SAMPLE
        assert (trace.id, trace.sampled) == (id or 1, expected)


@pytest.mark.parametrize("fill", [0, 1])
def test_ids_are_never_zero_and_never_leave_their_bits(fill: int):
    trace = trace_of({}, lambda bits: ((1 << bits) - 1) * fill, 1.0)
    spans = [trace.server, trace.call, *(trace.attempt(number) for number in range(1, 1001))]
    assert spans == list(range(trace.first, trace.first + 1002)), "they count up, so that none is used twice"
    assert spans[0] > 0
    assert spans[-1] < 1 << 64
    assert 0 < trace.id < 1 << 128


def test_what_is_sent_on_can_be_read_again():
    for sampled in (True, False):
        trace = Trace(id=0xABC, first=0x123, sampled=sampled)
        header = trace.traceparent(trace.attempt(1))
        assert header == f"00-{0xABC:032x}-{0x125:016x}-0{int(sampled)}"
        read = trace_of({"traceparent": header}, CHANCE, 0.5)
        assert (read.id, read.parent, read.sampled) == (trace.id, trace.attempt(1), sampled)
