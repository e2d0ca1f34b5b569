"""``skein bench`` over real processes, with few requests: what it counts, notices and writes. Never how fast it was."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
import uvloop

from gateway.cli import bench_crowd, bench_flame, bench_proxies, bench_rounds, bench_vendor
from gateway.cli.bench_cases import CASES, EVENTS, TEXT, WORDS, Expected, events, mistake, whole
from gateway.cli.bench_load import SlowReader, Target, unchunked
from gateway.cli.bench_picture import picture
from gateway.cli.bench_proxies import Proxy, environment, listener, nginx_program
from gateway.cli.bench_rounds import Report, markdown, slope
from gateway.cli.bench_vendor import Answers, Pace, Vendor, answer, chunk
from tests.cli.conftest import Skein

SVG = "{http://www.w3.org/2000/svg}"
ENV = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2])}


@contextmanager
def vendor(kind: Callable[[Answers], Vendor] = Vendor, answers: Answers | None = None) -> Iterator[Target]:
    """The benchmark's own vendor, or one that differs, in a thread."""
    shared, ready, found = answers or Answers(), threading.Event(), []

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: kind(shared), "127.0.0.1", 0)
        stop = asyncio.Event()
        found.extend([server.sockets[0].getsockname()[1], lambda: loop.call_soon_threadsafe(stop.set)])
        ready.set()
        await stop.wait()
        server.close()

    def run() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(10)
    try:
        yield Target("127.0.0.1", found[0])
    finally:
        found[1]()
        thread.join(10)


# The whole ------------------------------------------------------------------------------------------------------------


def test_every_case_is_measured_and_every_answer_is_right(
    skein: Skein, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_rounds, "SETTLING", 0.01)
    drawn = tmp_path / "speed.svg"
    words = ("--requests", "40", "--rounds", "1", "--connections", "4", "--workers", "2", "--picture", str(drawn))
    ran = skein("bench", *words, "--json")
    assert ran.code == 0, ran.err
    report = msgspec.convert(ran.json, Report)
    gateways = {"skein", "traced", "untold", "lane-off", "workers"}
    bare = {"direct", "nginx"} if nginx_program() else {"direct"}
    assert {(each.proxy, each.case) for each in report.figures} == {
        (proxy, case.name) for case in CASES.values() for proxy in gateways | (set() if case.beside else bare)
    }
    for each in report.figures:
        assert each.failures == {}
        assert each.requests == round(40 * CASES[each.case].share)
        assert min(each.cpu_us_per_request or 0, each.memory_mb or 0, each.requests_per_second) > 0
        assert (each.cpu_us_per_event is not None) == CASES[each.case].expected.stream
        assert (each.of_nginx is not None) == ("nginx" in bare and each.proxy != "direct")
    assert set(CASES) < set(report.scaling)

    texts = {text.text for text in ElementTree.parse(drawn).getroot().iter(f"{SVG}text")}
    assert gateways <= texts
    assert {"small: CPU µs per request", "burst: CPU µs per event"} <= texts
    table = markdown(report).splitlines()
    assert sum(line.startswith("| ") for line in table) == len(report.figures) + 2


def test_vendors_that_fail_are_made_good_by_the_backup_and_seen_without_one(skein: Skein) -> None:
    """The case fails as it says: without a gateway in front every tenth answer is missing."""
    with vendor() as target:
        url = f"http://127.0.0.1:{target.port}"
        words = ("--url", url, "--model", "failing", "--requests", "120", "--rounds", "1", "--connections", "1")
        ran = skein("bench", *words, "--cases", "small", "--json")
    assert ran.code == 1
    (figure,) = ran.json["figures"]
    assert set(figure["failures"]) == {
        *("status 503", "closed without an answer", "status 429", "closed within the answer")
    }
    # The two of the warming up are not among them.
    assert 11 <= sum(figure["failures"].values()) <= 12


def test_the_flame_graph_shows_the_gateways_functions(skein: Skein, tmp_path: Path) -> None:
    drawn = tmp_path / "flame.svg"
    ran = skein("bench", "--flame", str(drawn), "--requests", "1500", "--rounds", "1", "--connections", "4")
    assert ran.code == 0, ran.err
    titles = [each.text or "" for each in ElementTree.parse(drawn).getroot().iter(f"{SVG}title")]
    assert any(title.startswith("gateway.") for title in titles)


def test_a_gateway_that_runs_is_measured_by_its_port(skein: Skein) -> None:
    with vendor() as target:
        url = f"http://127.0.0.1:{target.port}/v1"
        ran = skein("bench", "--url", url, "--model", "small", "--pid", "auto", "--requests", "30", "--cases", "small")
        assert ran.code == 0, ran.err
        assert ran.out.splitlines()[1].split()[:2] == ["small", "url"]
        # Without a process nobody knows the CPU: nothing is said rather than nothing spent.
        blind = skein("bench", "--url", url, "--model", "small", "--requests", "30", "--cases", "small", "--json")
    (figure,) = blind.json["figures"]
    assert (figure["cpu_us_per_request"], figure["memory_mb"]) == (None, None)
    assert figure["requests"] == 90


def test_seconds_stand_in_for_requests(skein: Skein) -> None:
    with vendor() as target:
        words = ("--url", f"http://127.0.0.1:{target.port}", "--model", "small", "--cases", "small", "--rounds", "1")
        ran = skein("bench", *words, "--seconds", "0.2", "--requests", "1", "--json")
    assert ran.code == 0
    assert ran.json["figures"][0]["requests"] > 1


def test_peers_are_measured_beside_ours(skein: Skein) -> None:
    with vendor() as target:
        peer = f"other=http://127.0.0.1:{target.port}"
        ran = skein(
            "bench",
            "--peer",
            peer,
            "--proxies",
            "skein",
            "--cases",
            "small,failing",
            "--requests",
            "10",
            "--rounds",
            "1",
            "--json",
        )
    assert ran.code == 0, ran.err
    assert [each["case"] for each in ran.json["figures"] if each["proxy"] == "other"] == ["small"]


# Crowds ---------------------------------------------------------------------------------------------------------------


def test_a_long_run_samples_memory(skein: Skein) -> None:
    with vendor() as target:
        words = ("--url", f"http://127.0.0.1:{target.port}", "--model", "small", "--pid", "auto")
        ran = skein("bench", *words, "--long", "1050", "--connections", "5", "--json")
    assert ran.code == 0, ran.err
    (memory,) = ran.json["memory"]
    assert [requests for requests, _ in memory["samples"]] == [1050 * part // 100 for part in range(1, 101)]
    assert ran.json["figures"][0]["requests"] == 1050
    assert memory["kb_per_1000_requests"] is None


def test_memory_of_a_short_run_is_told_without_a_slope(skein: Skein) -> None:
    with vendor() as target:
        words = ("--url", f"http://127.0.0.1:{target.port}", "--model", "small", "--pid", "auto")
        ran = skein("bench", *words, "--long", "500", "--connections", "5")
    assert ran.code == 0, ran.err
    assert "after 500 requests (too short to tell whether it grows: that takes 20,000 requests)" in ran.out


def test_idle_clients_are_counted(skein: Skein) -> None:
    with vendor() as target:
        ran = skein("bench", "--idle", "130", "--url", f"http://127.0.0.1:{target.port}", "--model", "small", "--json")
    assert ran.code == 0, ran.err
    (crowd,) = ran.json
    assert (crowd["connections"], crowd["there"], crowd["failures"]) == (130, 130, {})


def test_streams_run_at_once_and_slow_readers_get_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """All are there at the look, the slow ones too; everybody is five times as fast as for real."""
    monkeypatch.setattr(bench_crowd, "DRIP", bench_crowd.DRIP / 5)
    monkeypatch.setattr(SlowReader, "AWAY", SlowReader.AWAY / 5)
    answers = Answers()
    answers.paces[b"drip"] = Pace(bench_crowd.DRIP)
    with vendor(answers=answers) as target:
        crowd = bench_crowd.streams(Proxy("vendor", target, None), 20, CASES["small"])
    assert (crowd.there, crowd.failures, crowd.kb_per_connection) == (20, {}, None)


@pytest.mark.parametrize(("option", "count", "needed"), [("--idle", 100, 300), ("--streams", 50, 300)])
def test_a_crowd_larger_than_the_open_files_allow_is_refused(
    option: str, count: int, needed: int, tmp_path: Path
) -> None:
    words = f"ulimit -n 256; exec {sys.executable} -P -m gateway bench {option} {count}"
    ran = subprocess.run(["sh", "-c", words], cwd=tmp_path, env=ENV, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 2
    assert f"{option}: {needed} open files are needed and 256 are allowed" in ran.stderr
    assert "Traceback" not in ran.stderr


# Whoever answers wrongly is noticed -----------------------------------------------------------------------------------


class _Liar(Vendor):
    said = b""

    def _answer(self, head: bytes, body: bytes) -> None:
        self.transport.write(self.said)


STREAM = b"".join(events())
LIES = {
    "no [DONE]": bench_vendor.STREAM_HEAD + chunk(STREAM[:-20]) + bench_vendor.END,
    "broken framing": bench_vendor.STREAM_HEAD + b"zz\r\nhello\r\n" + bench_vendor.END,
    "status 418": answer(b"", b"HTTP/1.1 418 I'm a teapot"),
}


@pytest.mark.parametrize("what", LIES)
def test_a_lying_vendor_is_noticed(what: str, skein: Skein, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Liar, "said", LIES[what])
    with vendor(_Liar) as target:
        words = ("--url", f"http://127.0.0.1:{target.port}", "--model", "burst", "--requests", "10", "--rounds", "1")
        ran = skein("bench", *words, "--cases", "burst")
    assert ran.code == 1
    assert f"url, burst: 6 × {what}" in ran.out


EVERY_EVENT, EVERY_WORD = Expected(stream=True, events=EVENTS), Expected(stream=True, words=WORDS)
WORD_LOST = STREAM.replace(b'" word"', b'""', 1)
ANSWERS = [
    (Expected(said=TEXT.encode()), whole(), None),
    (Expected(said=TEXT.encode()), whole().replace(b"zz", b"z"), "another answer"),
    (Expected(), b"anything", None),
    (EVERY_EVENT, STREAM, None),
    (EVERY_WORD, STREAM, None),
    (EVERY_WORD, WORD_LOST, "words missing or too many"),
    (EVERY_EVENT, WORD_LOST, None),
    (EVERY_EVENT, events()[0] + STREAM, "events missing or too many"),
    (Expected(stream=True), STREAM + events()[0], "no [DONE]"),
]


@pytest.mark.parametrize(("expected", "body", "wrong"), ANSWERS)
def test_what_is_wrong_with_an_answer(expected: Expected, body: bytes, wrong: str | None) -> None:
    assert mistake(expected, 200, body) == wrong


CHUNKS = [
    (b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", b"abcde"),
    (b"0\r\n\r\n", b""),
    (b"3\r\nabcd\r\n0\r\n\r\n", None),
    (b"0\r\n\r\n3\r\nabc\r\n0\r\n\r\n", None),
    (b"abc", None),
    (b"", None),
]


@pytest.mark.parametrize(("said", "body"), CHUNKS)
def test_chunks_are_put_together_only_if_they_are_right(said: bytes, body: bytes | None) -> None:
    assert unchunked(said) == body


# Mistakes of the command ----------------------------------------------------------------------------------------------

WRONG = [
    (("--url", "http://127.0.0.1:1", "--model", "m"), "nobody answers at 127.0.0.1:1: Connection refused"),
    (("--url", "127.0.0.1:4000", "--model", "m"), '"127.0.0.1:4000" is no URL'),
    (("--url", "http://127.0.0.1:1"), "--model: is needed"),
    (("--pid", "1"), "--pid: is of a gateway that runs already"),
    (("--peer", "other=http://127.0.0.1:1", "--cases", "small"), "--peer: nobody answers"),
    (("--peer", "nope", "--proxies", "skein"), '--peer: "nope" is not NAME=URL'),
    (("--cases", "small,tiny"), 'there is no case "tiny" (some of small, agent'),
    (("--cases", "failing", "--url", "http://127.0.0.1:1", "--model", "m"), '"failing" needs a vendor of our own'),
    (("--proxies", "skein,squid"), 'there is no proxy "squid"'),
    (("--requests", "0"), "--requests: 0 is not enough"),
    (("--streams", "9", "--url", "http://127.0.0.1:1", "--model", "m"), "--streams: needs a vendor of our own"),
    (("--idle", "9", "--picture", "x.svg"), "--picture: is not drawn of --idle"),
    (("--idle", "9", "--long", "9"), "not allowed with argument"),
]


@pytest.mark.parametrize(("words", "said"), WRONG, ids=[" ".join(words) for words, _ in WRONG])
def test_a_wrong_command_says_what_to_do(words: tuple[str, ...], said: str, skein: Skein) -> None:
    ran = skein("bench", *words)
    assert ran.code == 2
    assert said in ran.err


def test_a_process_that_is_not_there_is_said(skein: Skein) -> None:
    with vendor() as target:
        for pid, said in (("4194305", "there is no process 4194305"), ("mine", '"mine" is no process id')):
            ran = skein("bench", "--url", f"http://127.0.0.1:{target.port}", "--model", "m", "--pid", pid)
            assert (ran.code, said in ran.err) == (2, True)


def test_without_nginx_there_is_a_remark_and_no_comparison(skein: Skein, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, path: None)
    words = ("--cases", "small", "--proxies", "skein,nginx", "--requests", "4", "--rounds", "1", "--json")
    ran = skein("bench", *words)
    assert ran.code == 0
    assert "nginx is not installed: no comparison" in ran.err
    assert {each["of_nginx"] for each in ran.json["figures"]} == {None}


def test_nginx_is_found_where_only_root_looks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(bench_proxies, "FOR_ROOT", (str(tmp_path / "sbin"),))
    assert nginx_program() is None
    there = tmp_path / "sbin" / "nginx"
    there.parent.mkdir()
    there.touch(0o755)
    assert nginx_program() == str(there)


def test_keys_of_the_environment_stay_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-real")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector")
    assert not {"OPENAI_API_KEY", "OTEL_EXPORTER_OTLP_ENDPOINT"} & set(environment())


def test_nobody_listens_on_a_port_that_is_free() -> None:
    assert listener(1) is None


# Figures and pictures -------------------------------------------------------------------------------------------------


def test_memory_that_grows_has_a_slope_and_what_fills_at_first_does_not() -> None:
    growing = [(count * 10_000, 50 + count * 10) for count in range(10)]
    filled = [(count * 10_000, 50.0 + min(count, 4)) for count in range(10)]
    assert slope(growing) == pytest.approx(1024)
    assert slope(filled) == pytest.approx(0)
    assert slope([(100_000, 50.0)]) is None


def test_what_is_filled_at_first_is_not_taken_for_growth() -> None:
    short, long = ([(count * each, 50.0 + count) for count in range(1, 11)] for each in (1_999, 2_000))
    assert slope(short) is None
    assert slope(long) == pytest.approx(512)


def test_boxes_are_as_wide_as_their_samples_and_stand_on_their_callers() -> None:
    stacks = bench_flame.read("gateway.cli.serve:run_worker;m:a;m:b 3\nm:a;m:c 1\nm:a 1\nm:d 5\n")
    root = ElementTree.fromstring(bench_flame.picture(stacks, "<test>"))
    boxes = {group[0].text: group[1].attrib for group in root.iter(f"{SVG}g")}
    assert set(boxes) == {"m:a 50.0%", "m:b 30.0%", "m:c 10.0%", "m:d 50.0%"}
    (a, b, c, d) = (boxes[name] for name in sorted(boxes))
    assert float(a["width"]) == pytest.approx(float(d["width"]))
    assert float(b["y"]) == float(c["y"]) < float(a["y"]) == float(d["y"])
    assert float(a["x"]) <= float(b["x"]) < float(c["x"]) < float(d["x"])


def test_the_picture_shows_latency_where_cpu_is_not_known() -> None:
    said = {
        "proxy": "url", "case": "<small>", "requests": 1, "failures": {}, "cpu_us_per_request": None,
        "cpu_us_per_event": None, "of_nginx": None, "requests_per_second": 1.0, "p50_ms": 2.0, "p99_ms": 3.0,
        "added_p50_ms": None, "added_p99_ms": None, "memory_mb": None, "busy": None, "load_us_per_request": 1.0,
    }  # fmt: skip
    report = msgspec.convert({"figures": [said], "memory": [], "scaling": {}}, Report)
    texts = [text.text for text in ElementTree.fromstring(picture(report.figures)).iter(f"{SVG}text")]
    assert texts == ["<small>: ms to the whole answer, typically", "url", "2.0"]
    assert json.loads(msgspec.json.encode(report))["figures"] == [said]
