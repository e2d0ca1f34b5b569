"""One request drawn in the terminal."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from gateway import events
from gateway.cli.waterfall import PLAIN, Look, cleaned, report
from gateway.errors import Fault, FaultKind
from tests.observe.told import Tale, Telling, failover, plain, received, told

DRAWN = """\
req-7  ok 200 in 2.00s, first output after 1.50s
model "gpt-4o" is coder, served by claude/sonnet (stream)
2023-11-14T22:13:20.000Z  caller ci  session ci:s-1  trace 00000000000000000000000000000ac3

lead_worker: role=lead; turn=6
  openai/gpt-5 > claude/sonnet
  rule         tool_failures: tool calls of the worker failed
  evidence     turn 4: shell: exit code 1
  evidence     turn 5: the user: still failing
  request      main, turn 6
  task         code
  weighed      openai/gpt-5  0.83  code 0.83
  weighed      cheap
  asked first  claude/sonnet: 2 failed turns in a row
  left out     azure/gpt-4.1: breaker open
  switched  openai/gpt-5 > claude/sonnet  failover: 503

received          |                                        +0ms
understood        |                                      +1.0ms
planned           |                                      +2.0ms
1. openai/gpt-5   ---                                     +10ms   0.20s  error provider_rate_limited
   back-off          .........                           +0.21s   0.50s  as the vendor asked
2. openai/gpt-5               ----                       +0.71s   0.24s  error provider_overloaded
   back-off                       .....                  +0.95s   0.25s
3. claude/sonnet                       -----=========    +1.20s   0.80s  ok
finished                                            |    +2.00s

1. primary (first choice)  https://api.openai.com/v1/chat/completions
   rate_limited 429, to be asked again in 0.50s: slow down
2. retry (again)  https://api.openai.com/v1/chat/completions
   overloaded 503: overloaded
3. fallback (next)  https://claude

tokens        1,200 in (1,000 from cache), 50 out (20 reasoning)
cost          $0.012500 (by list price)
context       1,200 tokens of 200,000 (1%), +300 since the session's last request
tools called  edit
tools judged  shell ok, edit error (exit code 1), called again
ended by      tool_calls
own time      4.0ms
phases        parse 0.4ms, route 1.0ms
prompt        reviewer#3
client        127.0.0.1""".splitlines()


def found(telling: Telling, id: str = "req-7") -> Any:
    """As it comes over the wire."""
    return json.loads(json.dumps(telling.live.request(id)))


def test_a_failover_is_drawn():
    assert report(found(told())) == DRAWN


@pytest.mark.parametrize("width", [0, 20, 40, 80, 81, 120, 300])
@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("colours", [False, True])
def test_the_bars_end_where_the_terminal_does(width: int, blocks: bool, colours: bool):
    lines = report(found(told()), Look(width, colours, blocks))
    plain_lines = [re.sub(r"\x1b\[\d+m", "", line) for line in lines]
    assert colours == (lines != plain_lines)
    steps = [line for line in plain_lines if re.search(r"\+\d", line) and not line.startswith("context")]
    assert len(steps) == 9
    assert len({line.rindex("+") + len(re.findall(r"\+(\S+)", line)[-1]) for line in steps}) == 1, "aligned"
    if width >= 80:
        assert max(map(len, steps)) <= width
        assert any(sign in "".join(steps) for sign in ("█", "="))


def test_every_moment_of_an_exchange_can_be_drawn():
    story = failover()
    for count in range(1, len(story)):
        telling = Telling()
        telling.tell(*story[:count])
        lines = report(found(telling), Look(120, True, True))
        assert "running in 60.0s" in lines[0]


def test_what_the_client_was_told():
    telling = Telling()
    of: dict[str, Any] = {"exchange_id": "req-1", "span": 1}
    telling.tell(
        received(1),
        events.HandlerCrashed(at=1_700_000_000.5, **of, traceback="Traceback …"),
        events.ExchangeFinished(
            at=1_700_000_001.0,
            **of,
            model="",
            stream=False,
            outcome="error",
            status=500,
            attempts=0,
            seconds=1.0,
            code="internal_error",
        ),
    )
    lines = report(found(telling, "req-1"))
    assert "no plan was made" in lines
    assert "the client was told: internal_error: the gateway failed; its log says why" in lines


def test_nothing_of_elsewhere_moves_the_cursor():
    evil = "\x1b[2J\r\nok 200 \u202e\x9b"
    fault = Fault(kind=FaultKind.BAD_REQUEST, message=evil, status=400)
    telling = Telling()
    telling.tell(*plain(1, fault=fault, session=evil, tool=evil))
    lines = report(found(telling, "req-1"), PLAIN)
    assert all(line.isprintable() for line in lines)
    assert cleaned({"a": [evil]}) == {"a": ["?[2J??ok 200 ??"]}


def test_what_a_target_was_not_told_is_named():
    telling = Telling()
    telling.tell(*Tale(11).asked().attempt().reduced("seed", "n").output().answered().finished().events)
    assert "   without seed, n: it has no words for that" in report(found(telling, "req-11"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"same_id": 3}, "3 requests have this id: this is the newest"),
        ({"pinned": "/model"}, 'model "gpt-4o" is coder, pinned by /model to "gpt-4o", served by'),
        ({"cost_usd": None}, "not known"),
        ({"cost_source": "vendor"}, "the vendor says so"),
    ],
)
def test_what_is_worth_a_word(changes: dict[str, Any], said: str):
    assert any(said in line for line in report({**found(told()), **changes}))
