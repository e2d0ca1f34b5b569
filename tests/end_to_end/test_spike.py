"""A provider that fails too often loses its traffic to the backup, and gets it back: clients notice nothing."""

from __future__ import annotations

import io
import itertools
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from gateway import events
from gateway.observe.observability import Logging
from tests.end_to_end.setting import Stand, Told, stand
from tests.scripted import Answer, Received, Status

SPIKE = {"error_rate": 0.25, "recover_below": 0.1, "min_requests": 12, "window": "60s", "hold": "300ms", "trial": 0.25}
CLIENTS = 20
PRIMARY, BACKUP = "primary/gpt-4.1", "backup/gpt-4.1"


class Sick:
    """A vendor's book: two calls of five fail while it is sick."""

    def __init__(self) -> None:
        self.sick, self.failed = True, 0

    def __call__(self, call: Received) -> Status | None:
        if not self.sick or call.number % 5 not in (0, 2):
            return None
        self.failed += 1
        return Status(500)


def swings(s: Stand) -> list[str]:
    kinds = (events.ProviderDemoted, events.ProviderRestored)
    return [type(each).__name__ for each in s.gateway.events if isinstance(each, kinds)]


def sessions_ask(s: Stand, rounds: int) -> dict[int, list[Told]]:
    """Every client asks in turn, all at once: what each was told, in order."""

    def one(session: int) -> list[Told]:
        return [s.ask(number % 2 == 0, {"x_skein_session": f"s{session}"}) for number in range(rounds)]

    with ThreadPoolExecutor(CLIENTS) as pool:
        return dict(enumerate(pool.map(one, range(CLIENTS))))


def switches(s: Stand) -> Counter[tuple[str, str, str]]:
    """What changed for each session from one request to the next and within them, as attempts and routes tell it."""
    found, served = Counter[tuple[str, str, str]](), dict[str, str]()
    finished = {each.exchange_id: each for each in s.of(events.ExchangeFinished)}
    plans = {each.exchange_id: each.plan for each in s.of(events.PlanMade)}
    tried: dict[str, list[str]] = {}
    for each in s.of(events.AttemptStarted):
        tried.setdefault(each.exchange_id, []).append(str(each.target))
    for name, end in finished.items():
        first, last, before = tried[name][0], str(end.target), served.get(end.session)
        if before and before != first:
            left_out = any("error rate" in out.reason for out in plans[name].left_out)
            well = first == last and "a trial of" not in plans[name].reason
            found[before, first, "error_rate_spike" if left_out else "recovered" if well else "balanced"] += 1
        for one, other in itertools.pairwise(tried[name]):
            if one != other:
                found[one, other, "failover"] += 1
        served[end.session] = last
    return found


def test_traffic_moves_to_the_backup_and_back() -> None:
    written, book = io.StringIO(), Sick()
    with stand("primary", "backup", running={"logging": Logging(out=written)}, spike=SPIKE, retries=0) as s:
        s.primary.decide = book
        told = [each for answers in sessions_ask(s, 5).values() for each in answers]
        assert swings(s) == ["ProviderDemoted"]
        demoted = s.of(events.ProviderDemoted)[0]
        assert demoted.provider == "primary"
        assert demoted.error_rate >= 0.25
        assert s.metrics().by("skein_provider_demoted", "provider") == {"primary": 1}
        shown = s.gateway.call(s.gateway.runtime.providers)
        assert shown["primary"]["spike"]["demoted"]
        assert not shown["backup"]["spike"]["demoted"]
        # While it is demoted and not well, only trials come to it.
        reached = s.primary.count
        told += [each for answers in sessions_ask(s, 3).values() for each in answers]
        assert s.primary.count - reached < 30
        assert swings(s) == ["ProviderDemoted"]
        routes = Counter(each.headers["x-skein-route"] for each in told)
        assert any("% of primary over 60s (demoted)" in route for route in routes)
        book.sick = False
        while swings(s) == ["ProviderDemoted"]:
            told += [each for answers in sessions_ask(s, 2).values() for each in answers]
            assert len(told) < 4000
        told += [each for answers in sessions_ask(s, 1).values() for each in answers]
        assert {each.headers["x-skein-provider"] for each in told[-CLIENTS:]} == {"primary"}
        assert {each.status for each in told} == {200}, "clients notice nothing"
        assert all(each.whole for each in told)
        s.finished(len(told))
        assert swings(s) == ["ProviderDemoted", "ProviderRestored"]

        page = s.metrics()
        assert page.total("skein_requests_total", outcome="ok") == len(told) >= 200
        assert page.by("skein_attempts_total", "provider") == {"primary": s.primary.count, "backup": s.backup.count}
        assert page.by("skein_attempts_total", "provider", outcome="error") == {"primary": book.failed}
        assert page.by("skein_failovers_total", "from_provider", "trigger", "result") == {
            ("primary", "provider_server_error", "ok"): book.failed
        }
        assert page.by("skein_provider_demoted", "provider") == {}
        expected = switches(s)
        assert page.by("skein_model_switches_total", "from", "to", "reason") == expected
        assert expected[PRIMARY, BACKUP, "error_rate_spike"] > 0
        assert expected[BACKUP, PRIMARY, "recovered"] > 0
        assert expected[PRIMARY, BACKUP, "failover"] == book.failed
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    said = [line for line in lines if line["event"].startswith("provider.")]
    assert [(line["event"], line["provider"]) for line in said] == [
        ("provider.demoted", "primary"),
        ("provider.restored", "primary"),
    ]
    assert said[0]["error_ratio"] == round(demoted.error_rate, 4)
    moved = Counter((line["from"], line["to"], line["reason"]) for line in lines if line["event"] == "model.switched")
    assert moved == expected


def demote(s: Stand) -> None:
    s.primary.otherwise = Status(500)
    for _ in range(SPIKE["min_requests"]):
        assert s.ask().status == 200
    assert swings(s) == ["ProviderDemoted"]
    s.primary.forget()


# A hold and a share of trials with which nothing moves by itself.
STILL = SPIKE | {"hold": "1h", "trial": 1e-9}


def test_who_names_the_target_gets_it() -> None:
    with stand("primary", "backup", spike=STILL, retries=0) as s:
        demote(s)
        s.primary.otherwise = Answer()
        assert s.ask(headers={"x_skein_model": PRIMARY}).headers["x-skein-provider"] == "primary"
        assert s.ask(model=PRIMARY).headers["x-skein-provider"] == "primary"
        assert s.ask(headers={"x_skein_no_fallback": "true"}).headers["x-skein-provider"] == "primary"
        assert s.primary.count == 3
        assert s.ask().headers["x-skein-provider"] == "backup"
        assert s.primary.count == 3


def test_the_demoted_one_is_there_when_the_backup_fails() -> None:
    with stand("primary", "backup", spike=STILL, retries=0) as s:
        demote(s)
        s.primary.otherwise, s.backup.otherwise = Answer(), Status(500)
        told = s.ask()
        assert told.status == 200
        assert told.headers["x-skein-provider"] == "primary"
        assert s.tried()[-2:] == ["backup", "primary"]
