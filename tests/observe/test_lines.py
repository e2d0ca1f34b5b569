"""Log lines on their way out: how they read, their order, and the exact number of those that are lost."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.observe.lines import BATCH, MOST_WAITING, Whole, Writer, remark, written, written_whole

ROOT = Path(__file__).parents[2]

# What a client may say to make a terminal, or a reader, see what was never written.
TRICKS = "a\n00:00:00.000 info    request.finished\r\x1b[2K\x9b2K\x07\x08\x7f\x85\u2028\u2029\u202eb\x00\u200b\udc9b"


def reads(line: str) -> dict[str, object]:
    assert line.endswith("\n")
    assert line.count("\n") == 1
    return json.loads(line)


# Moments ------------------------------------------------------------------------------------------------------------

MOMENTS = [
    (0.0, "1970-01-01T00:00:00.000000Z"),
    (1_700_000_000.0, "2023-11-14T22:13:20.000000Z"),
    (1_700_000_000.5, "2023-11-14T22:13:20.500000Z"),
    (1_700_000_000.000001, "2023-11-14T22:13:20.000001Z"),
    (1_700_000_000.999999, "2023-11-14T22:13:20.999999Z"),
    # Nearer to the next second than to the last microsecond of its own.
    (1_700_000_000.9999998, "2023-11-14T22:13:21.000000Z"),
    (1_709_164_800.25, "2024-02-29T00:00:00.250000Z"),
    (4_102_444_799.125, "2099-12-31T23:59:59.125000Z"),
]


@pytest.mark.parametrize(("at", "told"), MOMENTS)
def test_moments_are_rfc_3339_to_the_microsecond(at: float, told: str):
    ts = reads(written(("info", "e", {}), at, "json"))["ts"]
    assert ts == told
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", told)
    assert abs(datetime.fromisoformat(told).timestamp() - at) < 1e-6
    assert datetime.fromisoformat(told).tzinfo is UTC
    assert written(("info", "e", {}), at, "console").startswith(f"{told[11:23]} info ")


# Both formats -------------------------------------------------------------------------------------------------------


def test_a_line_for_machines():
    fields = {"text": 'q"\\é\n', "none": None, "list": [1, {"a": None}], "no": False, "zero": 0}
    assert written(("warning", "a.b", fields), 1.5, "json") == (
        '{"ts":"1970-01-01T00:00:01.500000Z","level":"warning","event":"a.b",'
        '"text":"q\\"\\\\é\\n","list":[1,{"a":null}],"no":false,"zero":0}\n'
    )


def test_a_line_for_people():
    fields = {"text": "é 1", "none": None, "list": [1], "empty": [], "dict": {"a": 1}, "no": False}
    assert written(("warning", "a.b", fields), 1.5, "console") == (
        '00:00:01.500 warning a.b                text=é 1 list=[1] dict={"a":1} no=False\n'
    )


@pytest.mark.parametrize("value", [TRICKS, [TRICKS], {TRICKS: TRICKS}, [{"deep": [TRICKS]}]], ids=repr)
def test_nothing_a_client_says_can_look_like_another_line(value: object):
    line = written(("info", "e", {"said": value}), 0.0, "console")
    assert line[:-1].isprintable()
    assert reads(written(("info", "e", {"said": value}), 0.0, "json"))["said"] == value


def test_a_traceback_is_marked_line_by_line():
    line = written(("error", "handler.crashed", {"traceback": f"Traceback:\n{TRICKS}"}), 0.0, "console")
    head, *rest = line.splitlines()
    assert head == "00:00:00.000 error   handler.crashed   "
    assert len(rest) > 3
    assert all(each.startswith("    | ") and each.isprintable() for each in rest)
    assert reads(written(("error", "e", {"traceback": f"T:\n{TRICKS}"}), 0.0, "json"))["traceback"] == f"T:\n{TRICKS}"


class Known(Whole):
    text: str | None = None
    none: str | None = None
    texts: list[str] | None = None
    no: bool | None = None
    counts: dict[str, int] | None = None


@pytest.mark.parametrize("format", ["json", "console"])
@pytest.mark.parametrize("text", ["é", TRICKS, "half a character: \udc80", ""], ids=ascii)
def test_a_line_that_is_a_struct_is_the_same_line(format: str, text: str):
    whole = Known(None, "info", "e", text, texts=[text], no=False, counts={text: 1})
    fields = {"text": text, "none": None, "texts": [text], "no": False, "counts": {text: 1}}
    assert written_whole(whole, 1.5, format) == written(("info", "e", fields), 1.5, format)


def test_a_remark_is_a_line_too(capsys: pytest.CaptureFixture[str]):
    remark("warning", "worker.ended", "worker 1 ended with 1", "json")
    line = reads(capsys.readouterr().err)
    assert (line["level"], line["event"], line["message"]) == ("warning", "worker.ended", "worker 1 ended with 1")


# The writer ---------------------------------------------------------------------------------------------------------


class Losses:
    def __init__(self) -> None:
        self.counts: list[int] = []

    def __call__(self, count: int) -> None:
        self.counts.append(count)

    @property
    def total(self) -> int:
        return sum(self.counts)


class Stuck(io.StringIO):
    """Somebody's pipe: nothing gets through until it is read, or torn down."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.read = threading.Event(), threading.Event()
        self.torn = False

    def write(self, text: str) -> int:
        self.reached.set()
        self.read.wait()
        if self.torn:
            raise BrokenPipeError
        return super().write(text)


def numbered(first: int, end: int) -> list[str]:
    return [f"{number}\n" for number in range(first, end)]


def test_lines_come_out_in_order():
    out, lost = io.StringIO(), Losses()
    writer = Writer(out, lost)
    for start in range(0, 3000, 7):
        writer.put(numbered(start, min(start + 7, 3000)))
    writer.close(10)
    assert out.getvalue() == "".join(numbered(0, 3000))
    assert lost.counts == []


def test_when_nobody_reads_nobody_waits_and_what_is_too_much_is_counted():
    out, lost = Stuck(), Losses()
    writer = Writer(out, lost)
    writer.put(["first\n"])
    out.reached.wait()
    for start in range(0, MOST_WAITING + 1000, 500):
        writer.put(numbered(start, start + 500))
    assert lost.counts == [500, 500], "the oldest wait, the newest are lost"
    writer.put(numbered(0, 3))
    assert lost.total == 1003
    # Somebody reads again: all that waited is there, in order.
    out.read.set()
    writer.close(10)
    assert out.getvalue() == "first\n" + "".join(numbered(0, MOST_WAITING))
    assert lost.total == 1003


def test_a_batch_that_does_not_fit_goes_in_as_far_as_there_is_room():
    out, lost = Stuck(), Losses()
    writer = Writer(out, lost)
    writer.put(["first\n"])
    out.reached.wait()
    writer.put(numbered(0, MOST_WAITING + 11))
    assert lost.counts == [11]
    out.read.set()
    writer.close(10)
    assert out.getvalue().splitlines()[-1] == str(MOST_WAITING - 1)


@pytest.mark.parametrize("later", ["it is read after all", "it is torn down", "never"])
def test_the_end_does_not_wait_for_a_reader_that_does_not_come(later: str):
    out, lost = Stuck(), Losses()
    writer = Writer(out, lost)
    writer.put(["first\n"])
    out.reached.wait()
    writer.put(numbered(0, 10))
    writer.close(0.01)
    assert lost.total == 11, "what waits, and what was being written"
    thread = next(each for each in threading.enumerate() if each is writer._thread)
    assert thread.daemon, "a process may end without it"
    out.torn = later == "it is torn down"
    out.read.set()
    thread.join(10)
    assert lost.total == 11, "counted once"


class Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_line_that_cannot_be_written_is_counted():
    gone = io.StringIO()
    gone.close()
    for out in (Full(), gone):
        lost = Losses()
        writer = Writer(out, lost)
        for _ in range(3):
            writer.put(numbered(0, BATCH + 1))
        writer.close(10)
        assert lost.total == 3 * (BATCH + 1)


def test_nobody_is_told_anything_without_a_place_to_write_to(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stderr", None)
    lost = Losses()
    writer = Writer(lost=lost)
    writer.put(["into nothing\n"])
    writer.close(10)
    assert lost.counts == []


def test_a_line_after_the_end_is_lost_and_counted():
    for used in (True, False):
        out, lost = io.StringIO(), Losses()
        writer = Writer(out, lost)
        if used:
            writer.put(["in time\n"])
        writer.close(10)
        writer.put(numbered(0, 4))
        assert (out.getvalue(), lost.total) == ("in time\n" if used else "", 4)


def test_who_hears_of_a_loss_may_have_a_line_to_say():
    """One thread holds its lock and says something; another has just lost a line, and wants that lock to count it."""
    out, lock = Stuck(), threading.Lock()
    losing = threading.Event()

    def lost(count: int) -> None:
        losing.set()
        with lock:
            pass

    writer = Writer(out, lost)
    writer.put(["first\n"])
    out.reached.wait()
    writer.put(numbered(0, MOST_WAITING))
    other = threading.Thread(target=writer.put, args=(["one too many\n"],), daemon=True)
    with lock:
        other.start()
        losing.wait()
        speaking = threading.Thread(target=writer.put, args=([],), daemon=True)
        speaking.start()
        speaking.join(10)
        assert not speaking.is_alive(), "two locks, each waiting for the other"
    other.join(10)
    assert not other.is_alive()
    out.read.set()
    writer.close(10)


def test_many_may_write_at_once():
    out, lost = io.StringIO(), Losses()
    writer = Writer(out, lost)
    threads = [
        threading.Thread(target=lambda name=name: [writer.put([f"{name} {each}\n"]) for each in range(200)])
        for name in "abcd"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close(10)
    told = out.getvalue().splitlines()
    assert len(told) == 800
    for name in "abcd":
        assert [line for line in told if line.startswith(name)] == [f"{name} {each}" for each in range(200)]


LEAVES = """
import sys
from gateway.observe.lines import Writer
lost = []
writer = Writer(lost=lost.append)
for number in range(20):
    writer.put(["x" * 80 + "\\n"] * 1000)
writer.close(0.05)
print(sum(lost) > 0)
"""


def test_a_process_whose_lines_nobody_reads_can_end():
    reading, writing = os.pipe()
    try:
        ended = subprocess.run(
            [sys.executable, "-c", LEAVES], cwd=ROOT, stdout=subprocess.PIPE, stderr=writing, timeout=60, text=True
        )
    finally:
        os.close(reading)
        os.close(writing)
    assert (ended.returncode, ended.stdout) == (0, "True\n")
