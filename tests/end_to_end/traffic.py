"""Mixed traffic by the thousand: what clients ask and do, what vendors are told to do, and what that must come to."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from gateway import events
from tests.scripted import (
    BROKEN,
    FAULTS,
    HARMLESS,
    HIDDEN,
    Answer,
    Close,
    Named,
    Received,
    Reply,
    ScriptedVendor,
    Silent,
    Status,
    Step,
    ToolCall,
    fault,
    play,
)
from tests.scripted.steps import Die, Raw, StepValue

from .setting import CHAT, MESSAGES, Told, request

EMBEDDINGS = "/v1/embeddings"
MODEL = "gpt-4.1"
KEY = "caller-key-8f3b1c"
LIMITED_KEY = "limited-key-77aa2"

# What vendors do ------------------------------------------------------------------------------------------------------

OK, LEFT = "ok", "cancelled"


class Played(NamedTuple):
    """A step, and what it makes of a call that is answered whole and of one that streams: ok, or whose fault it was."""

    step: StepValue
    whole: str
    stream: str


# By what a client of the vendor can know, not by what the gateway makes of it: before any output a call has failed as
# it failed, after it a stream has broken; half a whole answer is garbled.
_MAKES: dict[str, tuple[str, str] | str] = {
    "rate_limited": "rate_limited",
    "overloaded": "overloaded",
    "server_error": "server_error",
    "unreachable": "connection_failed",
    "timeout_first_token": ("timeout_idle", "timeout_first_token"),
    "timeout_idle": "timeout_idle",
    "timeout_total": "timeout_total",
    "bad_credentials": "auth_failed",
    "out_of_credit": "billing",
    "model_missing": "model_missing",
    "garbled": "garbled",
    "broken_stream": ("garbled", "broken_stream"),
    "bad_request": "caller_invalid_request",
    "context_too_long": "caller_context_too_long",
    "refused": "caller_content_refused",
    "reset_before_head": "connection_failed",
    "reset_after_head": ("garbled", "connection_failed"),
    "reset_after_role": ("garbled", "connection_failed"),
    "closed_before_head": "connection_failed",
    "closed_after_role": ("garbled", "connection_failed"),
    "closed_after_role_terminated": "garbled",
    "error_first": "server_error",
    "error_event_first": "server_error",
    "error_choice_first": "server_error",
    "error_x_groq_first": "garbled",
    "invalid_json_first": ("garbled", OK),
    "error_as_200": "server_error",
    "html_as_200": "garbled",
    "empty_200": "garbled",
    "truncated_200": "garbled",
    "short_200": ("garbled", "connection_failed"),
    "html_502": "server_error",
    "overloaded_529": "overloaded",
    "gateway_timeout": "server_error",
    "request_timeout": "server_error",
    "silent_before_head": "timeout_first_token",
    "silent_after_head": ("timeout_idle", "timeout_first_token"),
    "silent_after_role": ("timeout_idle", "timeout_first_token"),
    "error_body_never_comes": "server_error",
    "reset": ("garbled", "broken_stream"),
    "closed": ("garbled", "broken_stream"),
    "closed_terminated": ("garbled", "broken_stream"),
    "closed_before_finish": ("garbled", "broken_stream"),
    "no_finish": (OK, "broken_stream"),
    "no_finish_close_delimited": (OK, "broken_stream"),
    "error_mid": ("server_error", "broken_stream"),
    "error_mid_done": ("server_error", "broken_stream"),
    "error_event_mid": ("server_error", "broken_stream"),
    "error_choice_mid": ("server_error", "broken_stream"),
    "error_x_groq_mid": ("garbled", "broken_stream"),
    "invalid_json": ("garbled", OK),
    "truncated_json": ("garbled", OK),
    "binary": ("garbled", OK),
    "silent": "timeout_idle",
}
# Each takes a clock of seconds to be noticed.
SLOW = frozenset(name for name in _MAKES if "timeout_" in str(_MAKES[name])) | {"error_body_never_comes"}
# These have providers of their own. What kills the key it was refused with: everybody's target would be gone.
KILLERS = ("bad_credentials", "out_of_credit")
# A kept connection that is closed when it is used again: a call that the vendor counts apart.
STALE = "stale_connection"
# One that is closed unannounced after a whole answer: whoever used it in that instant would call unheard, so that these
# are asked for one after the other.
CLOSING = ("dropped_connection", "closed_terminated", "closed_after_role_terminated")
APART = (*KILLERS, STALE, *CLOSING)


def _plays() -> Iterator[tuple[str, Played]]:
    steps: dict[str, StepValue] = {**HIDDEN, **BROKEN}
    for name, makes in _MAKES.items():
        step = fault(name) if name in FAULTS else steps[name]
        assert not callable(step)
        whole, stream = (makes, makes) if isinstance(makes, str) else makes
        yield name, Played(step, _whose(whole), _whose(stream))
    for name, step in HARMLESS.items():
        yield name, Played(step, OK, OK)
    yield "answer", Played(Answer(), OK, OK)
    yield "left_before_head", Played(Silent("before_head"), LEFT, LEFT)
    yield "left_after_role", Played(Silent("after_role"), LEFT, LEFT)
    yield "left_in_stream", Played(Silent("after_output"), LEFT, LEFT)
    yield "deadline", Played(Silent("before_head"), "caller_deadline", "caller_deadline")
    # A running count with every chunk: what was told before the break was used, for nothing.
    yield (
        "told_then_broke",
        Played(
            play(Answer(quirks=("usage_always",)), Close("after_output")), "provider_garbled", "provider_broken_stream"
        ),
    )


def _whose(said: str) -> str:
    return said if said == OK or said.startswith("caller_") else f"provider_{said}"


PLAYS = dict(_plays())


def usage_of(name: str, nth: int) -> dict[str, Any]:
    """What the vendor says this call used: other numbers for every call, with all kinds of tokens."""
    chance = random.Random(f"{name}/{nth}")
    prompt, completion = chance.randint(10, 5000), chance.randint(2, 900)
    read, reasoning = chance.choice((0, prompt // 3)), chance.choice((0, completion // 4))
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": chance.choice((0, prompt // 5))},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


def kinds_of(usage: Mapping[str, Any]) -> dict[str, int]:
    """The same tokens as kinds that do not overlap."""
    prompt, completion = usage["prompt_tokens_details"], usage["completion_tokens_details"]
    read, written, reasoning = prompt["cached_tokens"], prompt["cache_write_tokens"], completion["reasoning_tokens"]
    kinds = {
        "input_uncached": usage["prompt_tokens"] - read - written,
        "cache_read": read,
        "cache_write": written,
        "output": usage["completion_tokens"] - reasoning,
        "reasoning": reasoning,
    }
    return {kind: count for kind, count in kinds.items() if count}


def telling(step: StepValue, usage: dict[str, Any]) -> StepValue:
    """The same step, in which the vendor tells this usage wherever it tells any."""
    match step:
        case Named():
            return Named(step.name, telling(step.played, usage))  # type: ignore[arg-type]
        case Answer():
            return msgspec.structs.replace(step, usage=usage)
        case Reply(content=Answer()):
            return msgspec.structs.replace(step, content=telling(step.content, usage))
        case Reply() | Status() | Raw() | Die():
            return step
    return Reply(Answer(usage=usage), (step,))


class Call(NamedTuple):
    """One call a vendor was made, and what becomes of it."""

    provider: str
    name: str
    play: str
    outcome: str
    usage: dict[str, Any]
    stream: bool
    operation: str


class Book:
    """What all vendors were asked, in order, and told to do: the truth that telemetry is held against."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.nth = Counter[str]()
        self.of: dict[str, Asked] = {}
        self.failed: set[str] = set()

    def keep(self, provider: str, vendor: ScriptedVendor) -> None:
        vendor.keep = 10
        vendor.decide = lambda call: self._decide(provider, call)

    def _decide(self, provider: str, call: Received) -> Step:
        name = str(call.fields["user"])
        nth, self.nth[name] = self.nth[name], self.nth[name] + 1
        asked = self.of[name]
        key = asked.plays[min(nth, len(asked.plays) - 1)]
        played, usage = PLAYS[key], usage_of(name, nth)
        if call.operation == "embeddings":
            usage = {"prompt_tokens": usage["prompt_tokens"], "total_tokens": usage["prompt_tokens"]}
        step = telling(played.step, usage)
        if asked.calls and isinstance(step, Answer):
            step = msgspec.structs.replace(step, tool_calls=asked.calls)
        outcome = played.stream if call.stream else played.whole
        assert not call.stream or call.include_usage
        self.calls.append(Call(provider, name, key, outcome, usage, call.stream, call.operation))
        return step

    def heard(self, event: events.Event) -> None:
        if isinstance(event, events.AttemptFailed):
            self.failed.add(event.exchange_id)


# What clients do ------------------------------------------------------------------------------------------------------


class Asked(NamedTuple):
    """One request. ``plays``: what its calls are played, one after the other, the last for all that follow."""

    name: str
    model: str
    plays: tuple[str, ...] = ("answer",)
    stream: bool = False
    leaves: str = ""
    headers: Mapping[str, str] = {}
    body: bytes | None = None
    label: str | None = None
    """The model as the metrics are to name it, where it is not ``model``."""
    messages: tuple[Any, ...] = tuple(MESSAGES)
    calls: tuple[ToolCall, ...] = ()
    path: str = CHAT


class Seen(NamedTuple):
    """What a client saw of its request."""

    asked: Asked
    outcome: str
    begun: bool = False


class Clients:
    """Send requests, many at once, and note what comes back. ``may``: is it time for this one?"""

    def __init__(self, url: str, book: Book, may: Callable[[Asked], bool]) -> None:
        self.host, port = url.removeprefix("http://").split(":")
        self.port, self.book, self._may = int(port), book, may
        self.seen: list[Seen] = []

    async def all(self, stories: Iterable[list[Asked]], at_once: int) -> None:
        """Stories side by side, the requests of each one after the other."""
        waiting = iter(stories)

        async def client() -> None:
            for story in waiting:
                for asked in story:
                    await self._until(lambda asked=asked: self._may(asked))  # type: ignore[misc]
                    self.book.of[asked.name] = asked
                    self.seen.append(await asyncio.wait_for(self._one(asked), 90))

        await asyncio.gather(*(client() for _ in range(at_once)))

    async def _one(self, asked: Asked) -> Seen:
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            sent = _sent(asked)
            writer.write(sent[:-10] if asked.leaves == "half" else sent)
            if asked.leaves:
                await writer.drain()
                await self._leave(asked, reader)
                return Seen(asked, "cancelled", asked.leaves == "stream")
            return Seen(asked, outcome_of(await reader.read()))
        finally:
            if asked.leaves in ("", "half"):
                writer.close()
            else:
                writer.transport.abort()

    async def _leave(self, asked: Asked, reader: asyncio.StreamReader) -> None:
        """Returns when it is time to go."""
        match asked.leaves:
            case "half":
                return
            case "keepalive":
                await reader.readuntil(b": keep-alive")
                await self._until(lambda: self.book.nth[asked.name] > 0)
            case "stream":
                await reader.readuntil(b'"content":"Hello')
            case "backoff":
                await self._until(lambda: asked.name in self.book.failed)
            case _:
                await self._until(lambda: self.book.nth[asked.name] > 0)

    async def _until(self, claim: Callable[[], bool]) -> None:
        while not claim():  # noqa: ASYNC110 - told by other threads
            await asyncio.sleep(0.005)


def _sent(asked: Asked) -> bytes:
    fields: dict[str, Any] = {"model": asked.model, "user": asked.name}
    fields |= {"input": "hi"} if asked.path == EMBEDDINGS else {"messages": list(asked.messages)}
    if asked.calls or len(asked.messages) > 1:
        fields["tools"] = [{"type": "function", "function": {"name": "shell", "parameters": {"type": "object"}}}]
    if asked.stream:
        fields["stream"] = True
    headers = {"connection": "close", "x_request_id": asked.name, "authorization": f"Bearer {KEY}", **asked.headers}
    return request(fields if asked.body is None else asked.body, asked.path, **headers)


CALLERS = {"bad_request", "context_too_long", "refused"}


def outcome_of(data: bytes) -> str:
    """How a client would call what it got, by reply alone."""
    told = _told(data)
    if told.status == 200 and not told.whole:
        return "error"
    error = _error(told)
    if error is None:
        return "ok"
    faults = [each["fault"] for each in error["attempts"]]
    if told.status == 200:
        return "timeout" if faults[-1].startswith("timeout") else "error"
    if not faults:
        return "rejected" if told.status < 500 or error["code"] == "loop_detected" else "error"
    if CALLERS & set(faults):
        return "rejected"
    return "timeout" if told.status == 504 else "error"


def _error(told: Told) -> dict[str, Any] | None:
    """The error of a reply; a stream without one has its end."""
    if not told.is_stream:
        return None if told.status == 200 else told.json["error"]
    last = told.data[-1]
    return None if last == "[DONE]" else json.loads(last)["error"]


def _told(data: bytes) -> Told:
    head, _, rest = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    status = int(first.split()[1])
    if "chunked" not in headers.get("transfer-encoding", ""):
        return Told(status, headers, rest, len(rest) == int(headers["content-length"]))
    body = bytearray()
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        count = int(size, 16)
        if count == 0:
            return Told(status, headers, bytes(body))
        body += rest[:count]
        rest = rest[count + 2 :]
    return Told(status, headers, bytes(body), whole=False)


# The mixture ----------------------------------------------------------------------------------------------------------


class Kind(NamedTuple):
    """So many requests of one kind; ``stream`` None: in turns."""

    count: int
    model: str
    plays: tuple[str, ...] = ("answer",)
    stream: bool | None = None
    more: Mapping[str, Any] = {}


REFUSED: dict[str, dict[str, Any]] = {
    "bad_json": {"body": b'{"model": "first", ', "label": "_other"},
    "no_model": {"body": b'{"messages": []}', "label": "_other"},
    "unknown_model": {"model": "gtp-4.1", "label": "_other"},
    "wrong_key": {"headers": {"authorization": "Bearer not-a-key"}, "label": "_other"},
    "not_allowed": {"headers": {"authorization": f"Bearer {LIMITED_KEY}"}},
    "bad_timeout": {"headers": {"x_skein_timeout": "soon"}, "label": "_other"},
    "loop": {"headers": {"x_skein_hops": "8"}, "label": "_other"},
    "bad_encoding": {"headers": {"content_encoding": "br"}, "label": "_other"},
}


def mixture() -> list[Kind]:
    common = [name for name in _MAKES if name not in APART and name not in SLOW]
    broken = [name for name in common if PLAYS[name].stream == "provider_broken_stream"]
    return [
        *(Kind(800, model) for model in ("first", "shared")),
        *(Kind(8, "first", (name,)) for name in HARMLESS if name not in APART),
        # Every fault once, then an answer; every fault for good.
        *(Kind(10, model, (name, "answer")) for name in common for model in ("first", "held")),
        *(Kind(6, "shared", (name,)) for name in common),
        *(Kind(2, model, (name, "answer")) for name in SLOW - {"timeout_total"} for model in ("first", "held")),
        *(Kind(4, "abort", (name, "answer"), True) for name in broken),
        *(Kind(6, "resume", (name, "answer"), True) for name in broken),
        *(Kind(4, "resume", (name, name, "server_error"), True) for name in broken),
        *(Kind(20, model, ("told_then_broke", "answer")) for model in ("first", "held", "abort", "resume")),
        # Retries, waits, keys, windows, breakers, and those who do not answer at all.
        Kind(40, "first", ("server_error", "overloaded", "answer")),
        Kind(30, "shared", ("rate_limited", "rate_limited", "rate_limited", "answer")),
        *(Kind(12, "locked", (name, "answer")) for name in KILLERS),
        Kind(20, "windowed", ("context_too_long", "answer")),
        Kind(20, "lenient", ("refused", "answer")),
        Kind(60, "sick", ("server_error", "answer")),
        Kind(60, "sick"),
        Kind(40, "dead"),
        Kind(6, "hanging"),
        Kind(2, "drip", ("timeout_total", "answer")),
        Kind(60, "stale", (STALE,)),
        Kind(8, "quiet", ("deadline",), more={"headers": {"x_skein_timeout": "3s"}}),
        # Clients that leave.
        Kind(100, "quiet", ("left_before_head",), more={"leaves": "head"}),
        Kind(60, "quiet", ("left_after_role",), True, more={"leaves": "token"}),
        Kind(20, "watched", ("left_after_role",), True, more={"leaves": "keepalive"}),
        Kind(100, "quiet", ("left_in_stream",), True, more={"leaves": "stream"}),
        Kind(20, "patient", ("overloaded", "answer"), more={"leaves": "backoff"}),
        Kind(30, "first", (), False, more={"leaves": "half", "label": "_other"}),
        # Other ways to ask.
        Kind(60, "first", stream=False, more={"path": EMBEDDINGS}),
        Kind(30, "first", ("server_error", "answer"), False, more={"path": EMBEDDINGS}),
        Kind(40, "first", more={"headers": {"x_skein_model": "shared"}, "label": "shared"}),
        Kind(40, f"a/{MODEL}"),
        # One id for all of these, at once.
        Kind(250, "first", more={"headers": {"x_request_id": "same"}}),
        Kind(60, "shared", ("server_error", "reset", "answer"), more={"headers": {"x_request_id": "same"}}),
        Kind(30, "quiet", ("left_before_head",), more={"headers": {"x_request_id": "same"}, "leaves": "head"}),
        *(Kind(25, more.get("model", "first"), (), False, more) for more in REFUSED.values()),
    ]


def stories(seed: int) -> list[list[Asked]]:
    """All of the traffic: single requests and sessions of agents, shuffled; what takes long begins first."""
    single = [asked for number, kind in enumerate(mixture()) for asked in _requests(number, kind)]
    told = [[asked] for asked in single] + [session(number) for number in range(40)]
    closing = [Kind(6, "closing", (name, "connection_close")) for name in CLOSING]
    told.append([asked for number, kind in enumerate(closing, 1000) for asked in _requests(number, kind)])
    random.Random(seed).shuffle(told)
    return sorted(told, key=lambda story: not SLOW & set(story[0].plays))


def _requests(number: int, kind: Kind) -> Iterator[Asked]:
    more = dict(kind.more)
    model = more.pop("model", kind.model)
    for count in range(kind.count):
        stream = count % 2 == 0 if kind.stream is None else kind.stream
        yield Asked(f"{number}-{count}", model, kind.plays, stream, **more)


TURNS = 8
# Two failures in a row bring the lead back for a turn.
FAILING = (3, 4)
# The rule of each turn: lead_turns 2, failure_threshold 2, fallback_turns 1.
RULES = (*["lead_turns"] * 2, *["worker_turns"] * 3, "tool_failures", *["worker_turns"] * 2)
# Turns before which the agent asks for a title.
TITLED = (1, 6)
TITLE = ({"role": "system", "content": "Generate a short title (four words or less) for this."}, *MESSAGES)


def session(number: int) -> list[Asked]:
    """An agent's conversation: each turn calls a tool, and the next brings its result. Titles are asked for in between,
    and the last request is sent once more.
    """
    made: list[Asked] = []
    messages: list[Any] = list(MESSAGES)
    for turn in range(TURNS):
        call = ToolCall("shell", {"command": "make"}, id=f"call_{number}_{turn}")
        if turn in TITLED:
            title = Asked(f"title-{number}-{turn}", "agent", headers={"x_skein_session": f"session-{number}"})
            made.append(title._replace(messages=TITLE))
        made.append(
            Asked(
                name=f"session-{number}-{turn}",
                model="agent",
                stream=number % 2 == 0,
                headers={"x_skein_session": f"session-{number}"},
                messages=tuple(messages),
                calls=(call,),
            )
        )
        function = {"name": "shell", "arguments": json.dumps(call.arguments)}
        result = "Error: no rule to make target" if turn in FAILING else "built"
        messages += [
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": call.id, "type": "function", "function": function}],
            },
            {"role": "tool", "tool_call_id": call.id, "content": result},
        ]
    return [*made, made[-1]._replace(name=f"again-{number}")]
