"""Whole sessions of agents: what is decided at every call, in order, and interleaved over two replicas.

To add one, add a file to ``tests/corpus/playbooks``; ``tests/routing/playbooks.py`` says how they are written.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

import msgspec
import pytest

from gateway.dialects import DIALECTS
from gateway.routing.turns import read
from gateway.stores.memory import MemoryStore
from tests.routing.playbooks import OTHERS, Call, Replica, calls_of, playbooks, told, world, written_as

BOOKS = playbooks()
CONFIG = world(BOOKS)


@pytest.fixture(scope="module")
def replica() -> Replica:
    return Replica(CONFIG)


def check(call: Call, plan: Any) -> None:
    assert told(plan, call.expect) == call.expect, f"{call.playbook}, step {call.step}: {plan}"


@pytest.mark.parametrize("name", BOOKS)
def test_a_session(name: str, replica: Replica):
    async def play() -> None:
        for call in calls_of(name, BOOKS[name]):
            check(call, await replica.decide(call))

    asyncio.run(play())


@pytest.mark.parametrize("dialect", OTHERS)
def test_sessions_are_judged_the_same_in_every_dialect(dialect: str):
    """Turns, failures, corrections, titles, summaries, sub-agents, commands: whatever language the agent speaks."""
    replica = Replica(CONFIG)

    async def play() -> None:
        for name, book in BOOKS.items():
            for call in calls_of(name, book):
                check(written_as(dialect, call), await replica.decide(written_as(dialect, call)))

    asyncio.run(play())


def test_there_are_enough_of_them():
    agents = {book["agent"] for book in BOOKS.values()}
    assert len(BOOKS) >= 20
    assert len(agents) >= 7
    rules = {call.expect.get("rule") for name, book in BOOKS.items() for call in calls_of(name, book)}
    assert {"lead_turns", "worker_turns", "tool_failures", "corrections", "auxiliary", "context", "compacted"} <= rules
    assert not [name for name, book in BOOKS.items() if not book["about"].endswith(".")]


@pytest.mark.parametrize("seed", range(3))
def test_sessions_may_be_interleaved_over_two_replicas(seed: int):
    """Three runs of every session at once; each call comes to one of two gateways that know nothing of each other."""
    chance = random.Random(seed)
    replicas = [Replica(CONFIG), Replica(CONFIG)]
    waiting = [
        list(calls_of(name, book, f"#{run}"))
        for run in range(3)
        for name, book in BOOKS.items()
        if not book.get("remembers")
    ]

    asyncio.run(interleaved(waiting, replicas, chance))


async def interleaved(waiting: list[list[Call]], replicas: list[Replica], chance: random.Random) -> None:
    """The calls of each session in order, the sessions and the replicas as chance has it."""
    while waiting:
        session = chance.choice(waiting)
        call = session.pop(0)
        check(call, await chance.choice(replicas).decide(call))
        if not session:
            waiting.remove(session)


def test_a_session_may_be_asked_for_in_any_order():
    """What a replica decides does not depend on what it has seen before: not on any call of the same session either."""
    calls = [call for name, book in BOOKS.items() if not book.get("remembers") for call in calls_of(name, book)]
    random.Random(4).shuffle(calls)
    replica = Replica(CONFIG)

    async def play() -> None:
        for call in calls:
            check(call, await replica.decide(call))

    asyncio.run(play())


@pytest.mark.parametrize("seed", range(3))
def test_what_is_kept_of_a_session_is_kept_of_that_one(seed: int, monkeypatch: pytest.MonkeyPatch):
    """Three runs at once of every session, those too that are remembered, over two gateways with one store."""
    shared = MemoryStore(lambda: 0.0, 3600.0, 1000)
    monkeypatch.setattr("gateway.app.store", lambda *_: shared)
    chance, replicas = random.Random(seed), [Replica(CONFIG), Replica(CONFIG)]
    assert replicas[0].runtime.store is replicas[1].runtime.store is shared
    waiting = [list(calls_of(name, book, f"#{run}")) for run in range(3) for name, book in BOOKS.items()]
    asyncio.run(interleaved(waiting, replicas, chance))


CALLS = [call for name, book in BOOKS.items() for call in calls_of(name, book) if call.last_turn]


def last_turn(call: Call) -> str:
    last = read(DIALECTS[call.dialect].conversation(call.body), subagent=call.subagent).turns[-1]
    by_tools = msgspec.structs.replace(last, corrected="").failed
    return "failed" if by_tools else "corrected" if last.corrected else "well"


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.playbook}, step {call.step}")
def test_a_step_is_read_as_it_is_meant(call: Call):
    """What a playbook calls a failure, a correction, or neither, is read as that, in every dialect."""
    assert last_turn(call) == call.last_turn
    for dialect in OTHERS:
        assert last_turn(written_as(dialect, call)) == call.last_turn, dialect
