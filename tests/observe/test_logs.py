"""Log lines: which events have one, and what is in it."""

from __future__ import annotations

import io
import json

import pytest

from gateway import events
from gateway.chat import Usage
from gateway.errors import Fault, FaultKind, Problem
from gateway.observe.logs import describe, logger, remark
from gateway.routing import Plan, Target

TARGET = Target("acme", "goose-1")
FAULT = Fault(kind=FaultKind.OVERLOADED, message="busy", status=503, retry_after=2.0, url="https://acme.test/v1")


def finished(**changes) -> events.ExchangeFinished:
    usual = {"model": "fast", "stream": True, "outcome": "ok", "status": 200, "attempts": 1, "seconds": 1.23456}
    return events.ExchangeFinished(at=0.0, exchange_id="req-1", **{**usual, **changes})


# event: (level, name), or None where there is no line
DESCRIBED: list[tuple[events.Event, tuple[str, str] | None]] = [
    (
        events.RequestReceived(
            at=0.0,
            exchange_id="r",
            dialect="d",
            operation="chat",
            model="m",
            stream=False,
            size=1,
            caller=None,
            session=None,
        ),
        None,
    ),
    (events.PlanMade(at=0.0, exchange_id="r", plan=Plan(model="m", targets=(), reason="")), None),
    (events.AttemptStarted(at=0.0, exchange_id="r", number=1, target=TARGET, url="u", reason=""), None),
    (events.OutputStarted(at=0.0, exchange_id="r", number=1, target=TARGET, seconds=0.1), None),
    (
        events.AttemptFailed(at=0.0, exchange_id="r", number=1, target=TARGET, fault=FAULT, seconds=0.1),
        ("warning", "attempt.failed"),
    ),
    (events.AttemptAbandoned(at=0.0, exchange_id="r", number=1, target=TARGET, seconds=0.1), None),
    (finished(), ("info", "request.finished")),
    (finished(outcome="cancelled", status=499), ("info", "request.finished")),
    (finished(outcome="error", status=400), ("info", "request.finished")),
    (finished(outcome="error", status=502, fault=FAULT), ("error", "request.finished")),
    (finished(outcome="broken", fault=FAULT), ("error", "request.finished")),
    (events.HandlerCrashed(at=0.0, exchange_id="r", traceback="t"), ("error", "handler.crashed")),
    (events.BreakerMoved(at=0.0, target=TARGET, before="closed", after="open"), ("warning", "breaker.moved")),
    (events.GatewayStarted(at=0.0, url="u", source="s"), ("info", "gateway.started")),
    (events.ConfigReloaded(at=0.0, source="s", needs_restart=("server.port",)), ("info", "config.reloaded")),
    (events.ConfigRefused(at=0.0, source="s", problems=(Problem("a", "b"),)), ("error", "config.refused")),
    (events.DrainStarted(at=0.0, running=2), ("info", "drain.started")),
    (events.ListingFailed(at=0.0, provider="acme", fault=FAULT), ("debug", "listing.failed")),
]


@pytest.mark.parametrize(("event", "line"), DESCRIBED, ids=lambda each: type(each).__name__)
def test_lines(event: events.Event, line: tuple[str, str] | None):
    described = describe(event)
    assert (described and described[:2]) == line


def kinds(root: type[events.Event]) -> set[type[events.Event]]:
    return {root}.union(*(kinds(each) for each in root.__subclasses__()))


def test_every_event_has_a_line_or_is_known_to_have_none():
    facts = kinds(events.Event) - {events.Event, events.ExchangeEvent}
    assert {type(event) for event, _ in DESCRIBED} == {each for each in facts if each.__module__ == events.__name__}


def written(event: events.Event, level: str = "debug", format: str = "json") -> str:
    out = io.StringIO()
    logger(level, format, out)(event)
    return out.getvalue()


def test_a_line_for_machines():
    usage = Usage(input_tokens=3, output_tokens=2)
    line = json.loads(written(finished(target=TARGET, usage=usage, skipped=1, caller="ci", session="s-1")))
    assert line == {
        "time": "1970-01-01T00:00:00.000Z",
        "level": "info",
        "event": "request.finished",
        "request_id": "req-1",
        "caller": "ci",
        "session": "s-1",
        "model": "fast",
        "target": "acme/goose-1",
        "stream": True,
        "outcome": "ok",
        "status": 200,
        "attempts": 1,
        "seconds": 1.2346,
        "input_tokens": 3,
        "output_tokens": 2,
        "skipped_events": 1,
    }


def test_a_line_for_people():
    event = events.BreakerMoved(at=1.5, target=TARGET, before="closed", after="open")
    assert written(event, format="console") == (
        "00:00:01.500 warning breaker.moved      target=acme/goose-1 from=closed to=open\n"
    )


def test_nothing_a_client_says_can_look_like_another_line():
    said = "a\n00:00:00.000 info request.finished\r\x1b[2K\x9b2K\u2028\u202eb"
    line = written(finished(session=said), format="console")
    assert line[:-1].isprintable()
    crash = written(events.HandlerCrashed(at=0.0, exchange_id="r", traceback=said), format="console")
    assert crash.replace("\n", "").isprintable()
    assert all(line.startswith("    | ") for line in crash.splitlines()[1:])


def test_a_worker_says_which_one_it_is():
    out = io.StringIO()
    logger("info", "json", out, worker=2)(finished())
    assert json.loads(out.getvalue())["worker"] == 2
    assert "worker" not in json.loads(written(finished()))


class Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_line_that_cannot_be_written_is_dropped(monkeypatch: pytest.MonkeyPatch):
    closed = io.StringIO()
    closed.close()
    for out in (Full(), closed):
        for format in ("json", "console"):
            logger("info", format, out)(finished())
    monkeypatch.setattr("sys.stderr", None)
    logger("info", "json")(finished())


def test_a_remark_is_a_line_too(capsys: pytest.CaptureFixture[str]):
    remark("warning", "worker.ended", "worker 1 ended with 1", "json")
    line = json.loads(capsys.readouterr().err)
    assert (line["level"], line["event"], line["message"]) == ("warning", "worker.ended", "worker 1 ended with 1")


def test_a_failed_attempt_keeps_the_vendors_words_out():
    fault = Fault(kind=FaultKind.BAD_REQUEST, message="you wrote: secret", body="secret", status=400)
    for event in (
        events.AttemptFailed(at=0.0, exchange_id="r", number=1, target=TARGET, fault=fault, seconds=0.1),
        finished(outcome="error", status=400, fault=fault),
        events.ListingFailed(at=0.0, provider="acme", fault=fault),
    ):
        assert "secret" not in written(event)
        assert "secret" not in written(event, format="console")


@pytest.mark.parametrize(("level", "lines"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_levels(level: str, lines: int):
    told = [event for event, line in DESCRIBED if line]
    seen: dict[str, bool] = {}
    for event in told:
        seen[describe(event)[0]] = bool(written(event, level))
    assert sum(seen.values()) == lines


def test_a_line_is_a_line():
    event = events.HandlerCrashed(at=0.0, exchange_id="r", traceback="a\nb\n")
    assert written(event).count("\n") == 1


def test_the_failure_of_one_observer_harms_nobody(caplog: pytest.LogCaptureFixture):
    seen: list[events.Event] = []

    def broken(event: events.Event) -> None:
        raise RuntimeError("no")

    events.broadcast((broken, seen.append))(finished())
    assert len(seen) == 1
    assert "an observer failed on ExchangeFinished" in caplog.text
