"""The traffic of ``skein demo``: what is sent, how often, and what was heard.

``KINDS`` is the table of it. Each kind is sent once at the beginning, then as often as its weight says.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any, Literal

import httpx
import msgspec

from gateway.cli.demo_agent import LONGEST, TOOLS, Agent, words

CHAT, EMBEDDINGS, FEEDBACK = "/v1/chat/completions", "/v1/embeddings", "/v1/feedback"
MOST_AT_ONCE = 64
# Longer than the demo's gateway ever takes; a gateway that hangs is to be seen as one.
LONGEST_WAIT = 60.0
NEW_AGENT, GIVES_FEEDBACK = 0.04, 0.3
# Turns after which an agent's long day is over in any case.
LONG_TASK = 15

Outcome = Literal["ok", "error", "broken", "left", "unanswered"]
"""An answer; a status that is none; a stream that broke off; we left; nothing came, or only half of it."""


class Heard(msgspec.Struct, kw_only=True):
    """What came of one request. ``seconds`` is to its last byte."""

    kind: str
    model: str
    outcome: Outcome = "unanswered"
    status: int | None = None
    seconds: float = 0.0
    headers: Mapping[str, str] = {}
    message: dict[str, Any] | None = None
    """The assistant's message of a good chat answer."""

    @property
    def attempts(self) -> int:
        said = self.headers.get("x-skein-attempts", "")
        return int(said) if said.isdigit() else 0

    @property
    def target(self) -> str | None:
        found = [self.headers.get(f"x-skein-{part}") for part in ("provider", "model")]
        return "/".join(filter(None, found)) if all(found) else None


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One request. ``leave_after`` is seconds, ``leave_at`` events of the stream: then the client is gone."""

    path: str = CHAT
    body: dict[str, Any] | bytes = b""
    headers: Mapping[str, str] = {}
    leave_after: float | None = None
    leave_at: int | None = None


class Traffic:
    """Requests to one gateway. Everything heard is told to ``note``; ``feedback`` counts its statuses."""

    def __init__(
        self, url: str, key: str | None, chance: random.Random, clock: Callable[[], float], note: Callable[[Heard], Any]
    ) -> None:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        # No proxy of the environment: it goes to this URL and nowhere else.
        self._client = httpx.AsyncClient(
            base_url=url,
            headers=headers,
            timeout=httpx.Timeout(LONGEST_WAIT, connect=5.0),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=MOST_AT_ONCE),
            trust_env=False,
        )
        self.sent = 0
        self.agents: list[Agent] = []
        self.feedback: dict[int, int] = {}
        self._chance, self._clock, self._note = chance, clock, note
        self._idle: list[Agent] = []
        self._running: set[asyncio.Task[None]] = set()

    # Which, and when

    async def flow(self, rate: float) -> None:
        """Sends so many requests a second, until it is cancelled. Never more than ``MOST_AT_ONCE`` at a time."""
        due, kinds = self._clock(), list(KINDS)
        while True:
            for kind in kinds:
                # What could not be sent in time is not made up for by a burst.
                due = max(due + 1 / rate, self._clock() - 1.0)
                await asyncio.sleep(max(0.0, due - self._clock()))
                while len(self._running) >= MOST_AT_ONCE:
                    await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
                # Its own, so that what is sent does not depend on which answer comes first.
                chance = random.Random(self._chance.getrandbits(32))  # noqa: S311
                task = asyncio.get_running_loop().create_task(kind.act(self, kind.name, chance))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
            kinds = self._chance.choices(KINDS, [kind.weight for kind in KINDS], k=50)

    async def end(self, patience: float) -> None:
        """Waits so many seconds for what is still under way, and leaves the rest."""
        if self._running and patience:
            await asyncio.wait(self._running, timeout=patience)
        left = [task for task in self._running if not task.done()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self._client.aclose()

    # One request

    async def ask(self, kind: str, model: str, asked: Asked) -> Heard:
        heard, began = Heard(kind=kind, model=model), self._clock()
        self.sent += 1
        try:
            async with asyncio.timeout(asked.leave_after):
                await self._listen(asked, heard)
        except TimeoutError:
            heard.outcome = "left"
        except asyncio.CancelledError:
            heard.outcome = "left"
            raise
        except httpx.HTTPError:
            heard.outcome = "broken" if heard.status else "unanswered"
        finally:
            heard.seconds = self._clock() - began
            self._note(heard)
        return heard

    async def _listen(self, asked: Asked, heard: Heard) -> None:
        content = asked.body if isinstance(asked.body, bytes) else msgspec.json.encode(asked.body)
        headers = {"content-type": "application/json", **asked.headers}
        async with self._client.stream("POST", asked.path, content=content, headers=headers) as reply:
            heard.status, heard.headers = reply.status_code, reply.headers
            if reply.status_code != 200:
                await reply.aread()
                heard.outcome = "error"
            elif reply.headers.get("content-type", "").startswith("text/event-stream"):
                heard.outcome = await self._follow(reply.aiter_lines(), asked, heard)
            else:
                said = msgspec.json.decode(await reply.aread())
                heard.message = said["choices"][0]["message"] if said.get("choices") else None
                heard.outcome = "ok"

    async def _follow(self, lines: AsyncIterator[str], asked: Asked, heard: Heard) -> Outcome:
        events, parts = 0, _Parts()
        async for line in lines:
            if not line.startswith("data: "):
                continue
            if line == "data: [DONE]":
                heard.message = parts.message()
                return "ok"
            said = msgspec.json.decode(line[len("data: ") :])
            if said.get("error"):
                return "broken"
            parts.take(said)
            events += 1
            if asked.leave_at is not None and events >= asked.leave_at:
                return "left"
        return "broken"

    # Agents

    def agent(self, chance: random.Random) -> Agent:
        """One that has time, or a new one; given back with ``rest``."""
        if self._idle and chance.random() >= NEW_AGENT:
            return self._idle.pop(chance.randrange(len(self._idle)))
        return self.new_agent(chance)

    def new_agent(self, chance: random.Random, history: int = 0) -> Agent:
        seed = chance.getrandbits(32)
        self.agents.append(Agent(f"demo-{len(self.agents) + 1}-{seed:08x}", random.Random(seed), history))  # noqa: S311
        return self.agents[-1]

    def rest(self, agent: Agent) -> None:
        if not agent.finished:
            self._idle.append(agent)

    async def tell(self, heard: Heard, verdict: Mapping[str, Any]) -> None:
        """Feedback on an answer. A gateway that takes none is none the worse."""
        request = heard.headers.get("x-request-id")
        if heard.outcome != "ok" or request is None:
            return
        with suppress(httpx.HTTPError):
            reply = await self._client.post(FEEDBACK, json={"request_id": request, "source": "demo", **verdict})
            self.feedback[reply.status_code] = self.feedback.get(reply.status_code, 0) + 1


class _Parts:
    """A message put together from the events of its stream."""

    def __init__(self) -> None:
        self._content: list[str] = []
        self._calls: dict[int, dict[str, Any]] = {}

    def take(self, chunk: dict[str, Any]) -> None:
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or {}
            self._content.append(delta.get("content") or "")
            for call in delta.get("tool_calls") or ():
                function = call.get("function") or {}
                whole = self._calls.setdefault(call.get("index", 0), {"id": "", "name": "", "arguments": ""})
                whole["id"] = call.get("id") or whole["id"]
                whole["name"] = function.get("name") or whole["name"]
                whole["arguments"] += function.get("arguments") or ""

    def message(self) -> dict[str, Any]:
        if not self._calls:
            return {"content": "".join(self._content)}
        calls = [
            {"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": call["arguments"]}}
            for call in self._calls.values()
        ]
        return {"content": None, "tool_calls": calls}


# What is sent ---------------------------------------------------------------------------------------------------------

Act = Callable[[Traffic, str, random.Random], Coroutine[Any, Any, None]]


class Kind(msgspec.Struct, frozen=True):
    name: str
    weight: float
    act: Act


def chat(*models: str, stream: bool | None = None, headers: Mapping[str, str] = {}, **fields: Any) -> Act:
    """A question to one of the models; streamed as said, or now and then."""

    async def act(traffic: Traffic, kind: str, chance: random.Random) -> None:
        model = chance.choice(models)
        body = {**_question(chance, model), **fields}
        if stream or (stream is None and chance.random() < 0.6):
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        verdict = {"verdict": chance.choice(("good", "good", "good", "neutral", "bad"))}
        gives = chance.random() < GIVES_FEEDBACK
        heard = await traffic.ask(kind, model, Asked(body=body, headers=headers))
        if gives:
            await traffic.tell(heard, verdict)

    return act


async def agent_turn(traffic: Traffic, kind: str, chance: random.Random) -> None:
    agent = traffic.agent(chance)
    try:
        await _turn(traffic, kind, agent, chance)
    finally:
        traffic.rest(agent)


async def long_day(traffic: Traffic, kind: str, chance: random.Random) -> None:
    """One that has said so much already that it is compacted at the end of its task, and goes on for a turn."""
    agent = traffic.new_agent(chance, LONGEST)
    for _ in range(LONG_TASK):
        compacted = agent.compactions > 0
        heard = await _turn(traffic, kind, agent, chance)
        if compacted or heard.outcome == "unanswered":
            return


async def _turn(traffic: Traffic, kind: str, agent: Agent, chance: random.Random) -> Heard:
    asked = Asked(body=agent.request(), headers={"x-skein-session": agent.name})
    heard = await traffic.ask(kind, agent.model, asked)
    if heard.message and agent.hear(heard.message):
        await traffic.tell(heard, {"score": round(chance.betavariate(6, 2), 2)})
    return heard


async def title(traffic: Traffic, kind: str, chance: random.Random) -> None:
    """Of a session that is at work."""
    agent = traffic.agent(chance)
    try:
        asked = Asked(body=agent.title_request(), headers={"x-skein-session": agent.name})
        await traffic.ask(kind, agent.model, asked)
    finally:
        traffic.rest(agent)


async def embed(traffic: Traffic, kind: str, chance: random.Random) -> None:
    texts = [words(chance, 12) for _ in range(chance.randint(1, 8))]
    body = {"model": "embedder", "input": texts}
    await traffic.ask(kind, "embedder", Asked(path=EMBEDDINGS, body=body))


def leaving(model: str, after: float | None = None, at: int | None = None) -> Act:
    async def act(traffic: Traffic, kind: str, chance: random.Random) -> None:
        body = {**_question(chance, model), "stream": True}
        await traffic.ask(kind, model, Asked(body=body, leave_after=after, leave_at=at))

    return act


def raw(body: bytes, path: str = CHAT, headers: Mapping[str, str] = {}) -> Act:
    async def act(traffic: Traffic, kind: str, chance: random.Random) -> None:
        await traffic.ask(kind, "", Asked(path=path, body=body, headers=headers))

    return act


def _question(chance: random.Random, model: str) -> dict[str, Any]:
    said = words(chance, chance.randint(15, 60))
    return {"model": model, "messages": [{"role": "user", "content": said}]}


# After so many letters the simulated agent leaves off the end of its call's arguments.
CUT_OFF = "Tidy the files."
_HELLO = b'{"model": "steady", "messages": [{"role": "user", "content": "hello"}]}'

# The slowest first: they have the most time to end.
KINDS: tuple[Kind, ...] = (
    Kind("stalled stream", 0.4, chat("stalling", stream=True)),
    Kind("timeouts", 1, chat("sluggish")),
    Kind("timeouts, nobody else", 0.5, chat("mute")),
    Kind("agent at its limit", 0.5, long_day),
    Kind("agent", 44, agent_turn),
    Kind("title of a session", 3, title),
    Kind("chat", 10, chat("steady")),
    Kind("weighted", 8, chat("spread")),
    Kind("least latency", 8, chat("quick")),
    Kind("chosen by hand", 1, chat("spread", headers={"x-skein-model": "quick"})),
    Kind("alias", 2, chat("gpt-4o-mini", "claude-demo")),
    Kind("reasoning", 4, chat("thinker")),
    Kind("embeddings", 6, embed),
    Kind("over a connection", 5, chat("remote")),
    Kind("rate limited", 4, chat("limited")),
    Kind("many faults", 2, chat("patchwork")),
    Kind("broken stream", 2, chat("fragile", stream=True)),
    Kind("mended stream", 2, chat("mended", stream=True)),
    Kind("held stream", 1, chat("held", stream=True)),
    Kind("all down", 1.5, chat("down")),
    Kind("refused by the vendor", 1.5, chat("picky", "narrow", "prudish")),
    Kind("cut by length", 1, chat("quick", max_tokens=5)),
    Kind("a call that is repaired", 2, chat("tidy", messages=[{"role": "user", "content": CUT_OFF}], tools=TOOLS)),
    Kind("more than can be told", 1, chat("steady", logit_bias={"50256": -100})),
    Kind("own deadline", 0.5, chat("thinker", headers={"x-skein-timeout": "100ms"})),
    Kind("left before output", 2, leaving("thinker", after=0.08)),
    Kind("left in mid-stream", 2, leaving("spread", at=6)),
    Kind("unknown model", 1, chat("no-such-model")),
    Kind("bad JSON", 1, raw(b'{"model": "steady", "messages": [')),
    Kind("bad key", 0.5, raw(_HELLO, headers={"authorization": "Bearer not-a-key"})),
    Kind("too large", 0.3, raw(_HELLO.replace(b"hello", b"x" * 1_100_000))),
    Kind("no such path", 0.3, raw(_HELLO, path="/v1/chat/complete")),
)
