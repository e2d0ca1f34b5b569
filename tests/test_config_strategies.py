"""Strategies of installed packages: which are taken, what is said of the others, how their settings are checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any, ClassVar, Literal

import httpx
import msgspec
import pytest
from msgspec import inspect

from gateway import config
from gateway.chat import Facts
from gateway.config import fitting, strategies
from gateway.config.strategies import _PLAIN
from gateway.routing import Fleet, Ordered, joined
from gateway.routing.strategies import STRATEGIES
from gateway.units import Duration
from tests.running import running_gateway


class Share(msgspec.Struct, frozen=True):
    model: str
    part: float = 1.0


class Shuffled(msgspec.Struct, frozen=True, kw_only=True):
    first: str
    others: tuple[str | Share, ...] = ()
    named: dict[str, str] = {}
    every: Duration = 60.0
    style: Literal["riffle", "overhand"] = "riffle"
    seed: Annotated[int, msgspec.Meta(ge=0)] | None = None

    def __post_init__(self) -> None:
        if self.seed == 13:
            raise ValueError("seed 13 brings bad luck: take another")
        if self.seed == 14:
            raise ZeroDivisionError("division by zero")

    def references(self) -> tuple[str, ...]:
        others = (each if isinstance(each, str) else each.model for each in self.others)
        return (self.first, *others, *self.named.values())

    def order(self, facts: Facts, fleet: Fleet) -> Ordered:
        return joined(self.references(), facts, fleet)


def with_setting(name: str, kind: Any, default: Any = None) -> type[msgspec.Struct]:
    return msgspec.defstruct("Odd", [(name, kind, default)], bases=(Shuffled,), frozen=True, kw_only=True)


class NoOrder(msgspec.Struct):
    def references(self) -> tuple[str, ...]:
        return ()


class Spread(Shuffled, frozen=True, kw_only=True):
    """Names its targets by halves."""

    def references(self) -> tuple[str, ...]:
        return tuple(f"{self.first}/{each}" for each in self.others)


class Careless(Shuffled, frozen=True, kw_only=True):
    def references(self) -> Any:
        return [self.first]


class Alternating(Shuffled, frozen=True, kw_only=True):
    """Whoever did not serve the session's last request."""

    REMEMBERS: ClassVar[bool] = True

    def order(self, facts: Facts, fleet: Fleet) -> Ordered:
        asked = fleet.remembered().get("asked", 0)
        references = self.references()[:: 1 if asked % 2 == 0 else -1]
        return msgspec.structs.replace(
            joined(references, facts, fleet), rule="alternated", remember={"asked": asked + 1}
        )


class Point:
    """As ``importlib.metadata`` gives them."""

    dist = None

    def __init__(self, name: str, load: Callable[[], Any]) -> None:
        self.name, self.load = name, load


Install = Callable[..., None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    def points(**found: Any) -> None:
        made = [Point(name, each if getattr(each, "__name__", "") == "<lambda>" else lambda each=each: each)
                for name, each in found.items()]  # fmt: skip
        monkeypatch.setattr("importlib.metadata.entry_points", lambda group: made if group == strategies.GROUP else [])
        strategies.installed.cache_clear()

    yield points
    monkeypatch.undo()
    strategies.installed.cache_clear()


MODEL = "models: {m: {strategy: odd, first: simulator/echo}}"
NOT_TAKEN = {
    "raises": (lambda: {}["x"], "KeyError: 'x'"),
    "a function": (print, "it is a builtin_function_or_method, not a class of the kind msgspec.Struct"),
    "an instance": (Shuffled(first="a/b"), "it is a Shuffled, not a class of the kind msgspec.Struct"),
    "another class": (Install, "it is a _CallableGenericAlias, not a class"),
    "a plain class": (Point, "it is the class Point, not a class of the kind msgspec.Struct"),
    "without order": (NoOrder, "it has no method order"),
    "a word of every model": (
        with_setting("resilience", int | None),
        "it has a setting resilience, which is a word of every model",
    ),
    "a set": (with_setting("tags", frozenset[str], frozenset()), "its setting tags is of a type no file is read into"),
    "anything": (with_setting("tags", Any), "its setting tags is of a type no file is read into (any)"),
    "a list": (with_setting("tags", list[str], []), "its setting tags is of a type no file is read into (list)"),
    "text or a number": (
        with_setting("seat", str | int, 1),
        "its setting seat is of a type no file is read into (union)",
    ),
    "inside": (
        with_setting("more", tuple[dict[str, bytes], ...], ()),
        "its setting more is of a type no file is read into (bytes)",
    ),
}


@pytest.mark.parametrize(("found", "why"), NOT_TAKEN.values(), ids=NOT_TAKEN)
def test_what_cannot_be_a_strategy_is_left_out(install: Install, found: Any, why: str) -> None:
    install(odd=found)
    [note] = config.parse("", {}).notes
    assert note.startswith(f"the strategy of the entry point odd is left out: {why}")
    [problem] = config.problems(MODEL, {})
    assert (problem.path, problem.what, problem.remedy) == ("models.m.strategy", 'no strategy "odd", line 1', note)


def test_what_comes_along_cannot_be_taken_over(install: Install) -> None:
    install(**{"priority": Shuffled, "Odd Name": Shuffled, "odd": Shuffled})
    prefix = "the strategy of the entry point"
    assert config.parse("", {}).notes == (
        f"{prefix} priority is left out: there is a strategy priority already",
        f'{prefix} Odd Name is left out: "Odd Name" cannot be a strategy\'s name',
    )
    assert strategies.known() == {**STRATEGIES, "odd": Shuffled}


def test_settings_are_read_by_their_types(install: Install) -> None:
    install(odd=Shuffled)
    text = """
models:
  m:
    strategy: odd
    first: simulator/echo
    others: [simulator/a, {model: simulator/b, part: 2}]
    named: {x: simulator/c}
    every: 2m
    seed: ${SEED}
    resilience: {retries: 1}
"""
    found = config.parse(text, {"SEED": "7"}).models["m"]
    others = ("simulator/a", Share("simulator/b", 2.0))
    wanted = Shuffled(first="simulator/echo", others=others, named={"x": "simulator/c"}, every=120.0, seed=7)
    assert (found.strategy, found.kind, found.resilience) == (wanted, "odd", {"retries": 1})


PROBLEMS = {
    "a setting that is not there": ("frist: simulator/echo", "models.m.frist: is not a setting of odd"),
    "a wrong value": ("style: faro", "models.m.style: expected one of overhand, riffle"),
    "a target that is not there": ("others: [{model: none/x}]", 'models.m.others[0].model: no provider "none"'),
    "one behind a name": ("named: {x: none/x}", 'models.m.named.x: no provider "none"'),
    "settings that do not go together": ("seed: 13", "models.m: seed 13 brings bad luck, line 3 (take another)"),
    "a crash": ("seed: 14", "models.m: the strategy odd failed: ZeroDivisionError: division by zero, line 3"),
}


@pytest.mark.parametrize(("line", "told"), PROBLEMS.values(), ids=PROBLEMS)
def test_mistake_in_settings_is_told(install: Install, line: str, told: str) -> None:
    install(odd=Shuffled)
    [problem] = config.problems(f"models:\n\n  m: {{strategy: odd, first: simulator/echo, {line}}}", {})
    assert str(problem).startswith(told)


def test_targets_that_a_strategy_makes_up_are_checked(install: Install) -> None:
    install(odd=Spread)
    [problem] = config.problems("models: {m: {strategy: odd, first: none, others: [a, b]}}", {})[:1]
    assert str(problem) == 'models.m: no provider "none", line 1 (there is simulator)'
    assert config.problems("models: {m: {strategy: odd, first: simulator, others: [a, b]}}", {}) == []


def test_references_that_are_no_names_are_told(install: Install) -> None:
    install(odd=Careless)
    [problem] = config.problems(MODEL, {})
    said = "the strategy odd failed: TypeError: references() gave no tuple of names, line 1"
    assert (problem.path, problem.what) == ("models.m", said)


def test_what_it_remembers_is_kept_of_each_session(install: Install) -> None:
    install(odd=Alternating)
    text = "models: {m: {strategy: odd, first: simulator/echo, others: [simulator/json]}}"
    body = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
    with running_gateway(text) as gateway:
        served = [
            httpx.post(gateway.base_url + "/chat/completions", json=body, headers={"x-skein-session": session})
            for session in ("one", "two", "one", "one")
        ]
    assert [each.headers["x-skein-model"] for each in served] == ["echo", "echo", "json", "echo"]


def test_every_type_a_file_is_read_into_is_allowed() -> None:
    of_several = (inspect.StructType, inspect.Metadata, inspect.UnionType, inspect.DictType, inspect.VarTupleType)
    assert {*_PLAIN, *of_several} == {*fitting._FITTERS, inspect.NoneType}
