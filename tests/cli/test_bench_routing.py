"""The simulated world: what dynamic is worth there beside single models and the best fixed choice, with fixed seeds."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from gateway.cli import bench_routing
from gateway.cli.bench_routing import Figure
from gateway.cli.bench_world import DRIFTS, MODELS, Gateway, World, strategy
from gateway.routing.evidence import Evidence

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def figures() -> dict[str, Figure]:
    return {each.name: each for each in bench_routing.bench((100, 101))}


SINGLE = [each.name for each in MODELS]


@pytest.mark.parametrize("name", ["dynamic", "dynamic, no guesses"])
def test_dynamic_comes_near_the_best_and_beats_every_single_model_for_its_cost(name: str, figures: dict[str, Figure]):
    found = figures[name]
    assert found.of_best_fixed >= 0.9
    assert found.least_of_best_fixed >= 0.88
    assert found.per_dollar > 1.1 * max(figures[each].per_dollar for each in SINGLE)
    assert found.per_dollar > 1.5 * figures["best fixed"].per_dollar


def test_the_best_fixed_choice_is_the_best(figures: dict[str, Figure]):
    assert all(figures["best fixed"].reward >= figures[each].reward - 0.005 for each in SINGLE)


def test_a_model_that_gets_worse_is_left():
    world = World(100)
    strict = strategy(100)
    served: list[tuple[int, str, str]] = []
    gateway = Gateway(strict, world, 100)

    def choose(job, turns, world):
        chosen = gateway.choose(job, turns, world)
        served.append((job.number, job.task, chosen))
        return chosen

    world.run("watched", choose, gateway.learn)
    model, task = DRIFTS
    half, count = len(world.jobs) // 2, len(world.jobs)

    def share(begin: int, end: int) -> float:
        of_task = [who for number, what, who in served if what == task and begin <= number < end]
        return of_task.count(model) / len(of_task)

    assert share(half // 2, half) > 0.5
    assert share(count - half // 2, count) < 0.15


def test_without_learning_it_does_worse(monkeypatch: pytest.MonkeyPatch, figures: dict[str, Figure]):
    """The figures are owed to what is measured."""
    monkeypatch.setattr(Evidence, "learn", lambda *learned: None)
    world = World(100)
    blind = world.dynamic(strategy())
    assert blind.per_dollar < figures["dynamic, no guesses"].per_dollar * 0.8


def test_the_same_seed_gives_the_same_run():
    one, two = (World(7, sessions=150).dynamic(strategy(7)) for _ in range(2))
    assert one == two


def test_the_picture_is_drawn_from_the_figures(figures: dict[str, Figure], tmp_path: Path):
    bench_routing.write(list(figures.values()), str(tmp_path / "dynamic.svg"))
    drawn, committed = (
        ElementTree.parse(each).getroot() for each in (tmp_path / "dynamic.svg", ROOT / "docs/dynamic.svg")
    )
    lines = [len(each.findall("{http://www.w3.org/2000/svg}polyline")) for each in (drawn, committed)]
    assert lines == [2 * len(figures)] * 2
    words = [{text.text for text in each.iter("{http://www.w3.org/2000/svg}text")} for each in (drawn, committed)]
    assert set(figures) <= words[0] & words[1]


def test_the_table_says_what_is_compared(figures: dict[str, Figure], capsys: pytest.CaptureFixture[str]):
    bench_routing.show(list(figures.values()))
    said = capsys.readouterr().out
    assert all(name in said for name in figures)
    assert "best fixed: per kind of work" in said
