"""Which targets may serve a request, in which order: the words every strategy speaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec

from gateway.chat import Facts
from gateway.routing.turns import Kind, Reading

Role = Literal["lead", "worker", "none"]
"""Which part a target plays, where the strategy has parts."""

PinnedBy = Literal["x-skein-model", "admin", "/model"]
"""Who chose the model by hand: a header of the request, an operator, a message of the conversation."""


class Target(msgspec.Struct, frozen=True, order=True):
    """Something one can call: an account of ours and a model there. Written ``azure-eu/gpt-4.1``."""

    provider: str
    model: str

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}"


class LeftOut(msgspec.Struct, frozen=True, gc=False):
    """A target that is not in the plan, and why."""

    target: Target
    reason: str


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """What a strategy has weighed: a reference of its settings, its score if it has one, and what that is made of."""

    reference: str
    score: float | None
    why: str


Advice = Literal["plan", "questions", "failed"]
"""What came of asking a planner: a plan; questions to the user; nothing that is of use."""


class Consult(msgspec.Struct, frozen=True, gc=False):
    """A planner is to be asked before the answer; what it says goes into the context. ``why``: what made it needed."""

    targets: tuple[Target, ...]
    why: str
    instructions: str | None = None
    """The operator's own, in place of ours."""
    may_ask: bool = True
    """Its questions are the answer, if it has any; otherwise it is to make a plan with what it knows."""
    max_tokens: Mapping[Target, int] = {}
    remember: Mapping[Advice, Mapping[str, Any]] = {}
    """What is to be kept of the conversation then, in place of ``Ordered.remember``; to that of a plan its text is
    added, as ``plan``. Content. In a ``Plan`` each is, like ``Plan.remember``, that of models by name."""
    by: str = ""
    """The model whose strategy asks: ``remember`` is kept under its name. Whoever asks need not say it."""


class Ordered(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A strategy's answer: targets in order, and why."""

    targets: tuple[Target, ...]
    reason: str
    """For people; one line."""
    rule: str
    """The rule that fired, one word of ``RULES`` or of a strategy of somebody else's."""
    evidence: tuple[str, ...] = ()
    """What made it fire, oldest first: ``turn 4: shell: Command exited with code 1``. Markers, never content."""
    max_tokens: Mapping[Target, int] = {}
    """Caps on the answer's length the strategy wants for a target."""
    role: Role = "none"
    task: str | None = None
    """What kind of work it is, where the strategy has looked: one of ``routing.tasks.TASKS``."""
    candidates: tuple[Candidate, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    consult: Consult | None = None
    note: str | None = None
    """A text that is put into the context: the plan that was made before. Content."""
    remember: Mapping[str, Any] | None = None
    """What is to be kept of the conversation in place of ``Fleet.remembered``; None: what is kept stays. It is kept
    only where this answer counts: where its first target is the first of whoever asked for it."""


RULES: Mapping[str, str] = {
    "configured": "the order written",
    "drawn": "drawn by weight",
    "quickest": "the quicker of two drawn",
    "direct": "the client named the target",
    "lead_turns": "the lead's first turns",
    "worker_turns": "the lead's turns are over",
    "tool_failures": "tool calls of the worker failed",
    "corrections": "the user corrected the worker",
    "auxiliary": "a call on the side: a title, a summary",
    "planning": "the request asks for a plan of the work",
    "context": "the conversation does not fit the window of whose turn it is",
    "compacted": "the conversation was summarised",
    "first_turn": "a plan is made",
    "replan": "a plan is made anew",
    "plan_kept": "a plan is followed",
    "no_plan": "there is no plan",
    "best_score": "the best score",
    "explored": "tried, to learn more of it",
    "sticky": "the session stays where it is",
    "crashed": "the strategy failed: the order written",
}
"""Why a plan is as it is, in one word each: the values of metric and log."""


class Crash(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A strategy raised, or gave what is no answer: a defect. Its references serve in the order written."""

    model: str
    strategy: str
    traceback: str
    """May quote content."""


class Place(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where that is kept which strategies remember of a conversation."""

    key: str
    conversation: str = ""
    """A digest of how it begins."""
    last: str = ""
    """The key of which conversation was the session's last; empty: this one is none of its own."""


class Plan(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Ordered targets, the reason for the order, and what was left out and why."""

    model: str
    """The public name the client's model resolved to: a configured model, or the target itself."""
    targets: tuple[Target, ...]
    reason: str
    asked: str = ""
    """The name that was resolved: the client's, or that of the pin."""
    pinned: PinnedBy | None = None
    strategy: str = "priority"
    rule: str = "configured"
    evidence: tuple[str, ...] = ()
    role: Role = "none"
    kind: Kind | None = None
    """What kind of request the conversation says it is; None: nobody has read it."""
    task: str | None = None
    turn: int | None = None
    """The turn it asks for, from 1, where the conversation was read."""
    candidates: tuple[Candidate, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    max_tokens: Mapping[Target, int] = {}
    consult: Consult | None = None
    note: str | None = None
    """Content."""
    remember: Mapping[str, Any] | None = None
    """What is to be kept of the conversation, of models by name; what is kept of others stays. Content."""
    memory: Place | None = None
    crashes: tuple[Crash, ...] = ()


class Latency(msgspec.Struct, frozen=True):
    """Time to first output of one target, in seconds, as a moving average; ``age`` seconds since it joined."""

    seconds: float
    age: float


class Measured(msgspec.Struct, frozen=True):
    """What came of a target's answers to one kind of task, as weights that fade: so much went well, so much badly."""

    good: float = 0.0
    bad: float = 0.0


class Fleet(Protocol):
    """What a strategy may ask of the world. All of it is values; none of it waits."""

    def ordered(self, reference: str, facts: Facts, /) -> Ordered:
        """What ``provider/model``, or another configured model's strategy, says to the same request."""

    def latency(self, target: Target, /) -> Latency | None:
        """What was measured lately, or None for a target nobody has used."""

    def chance(self) -> float:
        """A number in [0, 1)."""

    def reading(self) -> Reading:
        """The conversation so far, read once however often it is asked for."""

    def window(self, target: Target, /) -> int | None:
        """The context window in tokens, where it is known."""

    def price(self, target: Target, input_tokens: int, output_tokens: int, /) -> float | None:
        """US dollars for so many tokens, where a price is known."""

    def measured(self, target: Target, task: str, /) -> Measured:
        """What the gateway has seen of its answers to this kind of task."""

    def nested(self) -> bool:
        """Is it another model that asks? Then the turns of the conversation so far may be those of others."""

    def remembered(self) -> Mapping[str, Any]:
        """What ``Ordered.remember`` last kept of this conversation for the model that asks, and for no other.

        Only for strategies that ``REMEMBER``.
        """


class Strategy(Protocol):
    """The struct of its own settings plus this one pure method.

    One that keeps something of each conversation says ``REMEMBERS = True`` in its body: ``Fleet.remembered`` is asked
    for nobody else. One whose answer follows from its settings and from ``Fleet.ordered`` alone, whatever the request,
    says ``FIXED = True``: it is asked once, and not with every request.
    """

    def references(self) -> tuple[str, ...]:
        """Every ``provider/model`` or model name the settings mention; at least one. Settings without any are wrong."""

    def order(self, facts: Facts, fleet: Fleet, /) -> Ordered:
        """At least one target, each once. May raise ``CallerError``; anything else it raises is a ``Crash``."""


def joined(references: Sequence[str], facts: Facts, fleet: Fleet) -> Ordered:
    """All targets of the references in order, each once; the first reference speaks for what comes before an answer.

    ``reason`` and ``rule`` are the first one's own: a strategy puts its own in their place.
    """
    return merged([fleet.ordered(reference, facts) for reference in references])


def merged(found: Sequence[Ordered]) -> Ordered:
    """``joined``, of answers that are there already. Whoever brings a target says how long its answer may be."""
    caps: dict[Target, int | None] = {}
    for each in found:
        for target in each.targets:
            if target not in caps:
                caps[target] = each.max_tokens.get(target)
    return msgspec.structs.replace(
        found[0],
        targets=tuple(caps),
        max_tokens={target: cap for target, cap in caps.items() if cap is not None},
        left_out=tuple(dict.fromkeys(each for one in found for each in one.left_out if each.target not in caps)),
    )
