"""A simulated world for routing: models with hidden success rates, users with jobs, and what it all costs.

What is assumed, so that the figures can be judged:

- Five models. How often each does each kind of work well is fixed but hidden (``MODELS``, moved a little by the seed);
  half way one of them, the best value for code, becomes much worse at it.
- The gateway knows their prices and how soon they answer; to the registry of capabilities all five are unknown names.
  The operator has guessed at their skills, and errs (``GUESSED``); or has said nothing.
- A session is one user's job of one kind, said in words of ``ASKED``; the gateway guesses the kind from those words,
  as it does for real. Each of its turns is answered well or not, independently of the others.
- Of an answer the gateway learns a score only sometimes (``SCORED``), and not always the right one (``MISTAKEN``).
- Reward is 1 for an answer that is good at once. One that is not is mended by one more call of the dearest model: that
  is paid for, and brings no reward.
- A vendor's cache halves the price of a history it has seen (``CACHED``); a change of model loses it.

The same seed has the same users, and the same luck for each model at each turn, whoever chooses.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from gateway.chat import Facts
from gateway.routing import Latency, Measured, Ordered, Target
from gateway.routing.dynamic import Dynamic
from gateway.routing.evidence import Evidence
from gateway.routing.turns import Outcome, Reading, Turn
from gateway.routing.weighing import Contender, Skills

SCORED, MISTAKEN, CACHED = 0.7, 0.05, 0.5
SESSIONS, LONGEST = 3000, 6
FIRST, MORE, ANSWER = 3000, 1500, 700
"""Tokens: of a session's first request, that each turn adds, of an answer."""
APART = 60.0
"""Seconds between two sessions."""
GUESSED = 0.1
"""By how much (a standard deviation) the operator errs."""
LUCK = 0.03
"""By how much (a standard deviation) a seed moves the hidden rates."""
DRIFTS, BY = ("c-coder", "code"), 0.4

ASKED: Mapping[str, tuple[str, ...]] = {
    "chat": ("What's the capital of Mongolia?", "Tell me about octopuses", "Who was the first on the moon?"),
    "code": (
        "Fix the bug in parser.py where nested lists crash",
        "Write a Python function that merges two sorted lists",
        "Refactor the session handling and add unit tests",
        "the login page is broken again",
    ),
    "reasoning": (
        "Weigh the trade-offs of a four-day week for a support team",
        "Analyze why churn went up in March although prices stayed the same",
        "Should we buy or lease? What are the risks?",
    ),
    "maths": ("Solve 3x^2 - 5x + 2 = 0", "What is the probability of two sixes in three throws?"),
    "writing": ("Write an email to my landlord about the heating", "Translate this article into German"),
}
AGENTS = ("code",)
"""The jobs that come from agents, with tools on offer."""
SHARES = {"chat": 0.25, "code": 0.3, "reasoning": 0.15, "maths": 0.1, "writing": 0.2}


class Model(msgspec.Struct, frozen=True):
    """``input`` and ``output`` are dollars per token; ``rates``: task -> the share of answers that are good."""

    name: str
    input: float
    output: float
    seconds: float
    rates: Mapping[str, float]

    @property
    def target(self) -> Target:
        return Target("world", self.name)

    def cost(self, read: float) -> float:
        return read * self.input + ANSWER * self.output


def _model(name: str, read: float, written: float, seconds: float, *rates: float) -> Model:
    return Model(name, read / 1e6, written / 1e6, seconds, dict(zip(ASKED, rates, strict=True)))


MODELS = (
    #                                    chat  code  reas  maths writing
    _model("a-large", 5.0, 25.0, 2.5, 0.96, 0.93, 0.92, 0.92, 0.94),
    _model("b-medium", 1.2, 6.0, 1.0, 0.94, 0.80, 0.78, 0.76, 0.92),
    _model("c-coder", 1.0, 4.0, 1.2, 0.80, 0.92, 0.72, 0.74, 0.66),
    _model("d-thinker", 1.1, 4.4, 6.0, 0.84, 0.74, 0.90, 0.93, 0.72),
    _model("e-small", 0.1, 0.4, 0.4, 0.92, 0.50, 0.45, 0.50, 0.84),
)


class Job(msgspec.Struct, frozen=True):
    """One session. ``luck``: turn -> model -> a number in [0, 1), below the model's rate the answer is good."""

    number: int
    task: str
    asked: str
    luck: tuple[Mapping[str, float], ...]


class Result(msgspec.Struct, frozen=True):
    """What came of one way to choose: of every turn, whether it was good and what it cost in dollars."""

    name: str
    good: tuple[bool, ...]
    cost: tuple[float, ...]
    served: Mapping[str, int]
    """Model -> turns."""

    @property
    def reward(self) -> float:
        return sum(self.good) / len(self.good)

    @property
    def per_dollar(self) -> float:
        return sum(self.good) / sum(self.cost)


Chooser = Callable[[Job, Sequence[Turn], "World"], str]


class World:
    """Seeded. ``run`` may be called often: nothing of one run is there in the next."""

    def __init__(self, seed: int, sessions: int = SESSIONS) -> None:
        self._seed = seed
        lottery = random.Random(seed)  # noqa: S311  (a simulation)
        self.models = {each.name: _moved(each, lottery) for each in MODELS}
        self.dearest = max(self.models.values(), key=lambda each: each.cost(FIRST))
        self.jobs = tuple(self._job(number, lottery) for number in range(sessions))

    def _job(self, number: int, lottery: random.Random) -> Job:
        [task] = lottery.choices(list(SHARES), list(SHARES.values()))
        turns = lottery.randint(1, LONGEST)
        luck = tuple({name: lottery.random() for name in self.models} for _ in range(turns))
        return Job(number, task, lottery.choice(ASKED[task]), luck)

    def rate(self, model: str, task: str, number: int) -> float:
        """The hidden truth, in the session of that number."""
        later = 2 * number >= len(self.jobs)
        return self.models[model].rates[task] - (BY if later and (model, task) == DRIFTS else 0.0)

    def run(self, name: str, choose: Chooser, learn: Callable[[str, Job, float], None] | None = None) -> Result:
        """``learn``: the model that answered, the job, the score that was seen."""
        seen = random.Random(self._seed + 1)  # noqa: S311
        good, cost, served = [], [], dict.fromkeys(self.models, 0)
        for job in self.jobs:
            turns: list[Turn] = []
            before = ""
            for number, luck in enumerate(job.luck):
                model = choose(job, turns, self)
                well = luck[model] < self.rate(model, job.task, job.number)
                history = FIRST + MORE * number
                fresh = history if model != before else history - (1 - CACHED) * (history - MORE)
                mended = 0.0 if well else self.dearest.cost(history)
                good.append(well)
                cost.append(self.models[model].cost(fresh) + mended)
                served[model] += 1
                told = well != (seen.random() < MISTAKEN)
                scored = seen.random() < SCORED
                if learn and scored:
                    learn(model, job, float(told))
                turns.append(Turn(calls=(Outcome("shell", "ok" if told or not scored else "error"),)))
                before = model
        return Result(name, tuple(good), tuple(cost), served)

    def single(self, model: str) -> Result:
        return self.run(model, lambda job, turns, world: model)

    def best_fixed(self) -> Result:
        """Per task the model with the best rate over the whole run, known beforehand, the task known too."""
        ends = (0, len(self.jobs))
        best = {
            task: max(self.models, key=lambda model: sum(self.rate(model, task, end) for end in ends)) for task in ASKED
        }
        return self.run("best fixed", lambda job, turns, world: best[job.task])

    def dynamic(self, strategy: Dynamic) -> Result:
        gateway = Gateway(strategy, self, self._seed)
        return self.run("dynamic", gateway.choose, gateway.learn)


def _moved(model: Model, lottery: random.Random) -> Model:
    rates = {task: min(0.99, max(0.05, rate + lottery.gauss(0, LUCK))) for task, rate in model.rates.items()}
    return msgspec.structs.replace(model, rates=rates)


class Gateway:
    """The strategy, its memory and its evidence, at work in a world."""

    def __init__(self, strategy: Dynamic, world: World, seed: int) -> None:
        self._strategy, self._world, self._evidence = strategy, world, Evidence()
        self.chance = random.Random(seed + 2).random  # noqa: S311
        self._reading, self._now = Reading(), 0.0
        self._sessions: dict[int, Mapping[str, Any]] = {}
        self._job = 0
        self._task = ""

    def choose(self, job: Job, turns: Sequence[Turn], world: World) -> str:
        tokens = FIRST + MORE * len(turns)
        self._reading = Reading(turns=tuple(turns), tokens=tokens, asked=job.asked)
        self._job, self._now = job.number, job.number * APART
        ordered = self._strategy.order(Facts(model="auto", tools=job.task in AGENTS), self)
        self._task = ordered.task or ""
        if ordered.remember is not None:
            self._sessions[job.number] = ordered.remember
        return ordered.targets[0].model

    def learn(self, model: str, job: Job, score: float) -> None:
        self._evidence.learn(self._world.models[model].target, self._task, score, self._now)

    # As a fleet

    def ordered(self, reference: str, facts: Facts) -> Ordered:
        target = Target(*reference.split("/", 1))
        return Ordered(targets=(target,), reason="", rule="direct")

    def latency(self, target: Target) -> Latency | None:
        return Latency(self._world.models[target.model].seconds, 0.0)

    def reading(self) -> Reading:
        return self._reading

    def window(self, target: Target) -> int | None:
        return None

    def price(self, target: Target, input_tokens: int, output_tokens: int) -> float | None:
        model = self._world.models[target.model]
        return input_tokens * model.input + output_tokens * model.output

    def measured(self, target: Target, task: str) -> Measured:
        return self._evidence.measured(target, task, self._now)

    def nested(self) -> bool:
        return False

    def remembered(self) -> Mapping[str, Any]:
        return self._sessions.get(self._job, {})


def strategy(seed: int | None = None, **settings: Any) -> Dynamic:
    """``dynamic`` over the world's models. ``seed``: the operator has guessed at their skills, and erred; None: not."""
    if seed is None:
        return Dynamic(candidates=tuple(str(each.target) for each in MODELS), **settings)
    lottery = random.Random(seed + 3)  # noqa: S311

    def guessed(rate: float) -> float:
        return min(1.0, max(0.0, rate + lottery.gauss(0, GUESSED)))

    return Dynamic(
        candidates=tuple(
            Contender(
                model=str(each.target), skills=Skills(**{task: guessed(rate) for task, rate in each.rates.items()})
            )
            for each in MODELS
        ),
        **settings,
    )
