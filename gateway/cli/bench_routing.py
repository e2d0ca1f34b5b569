"""``skein bench --routing``: ``dynamic`` in a simulated world, beside single models and the best choice fixed before.

What the world assumes, so that the figures can be judged, stands in ``bench_world``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

import msgspec

from gateway.cli.bench_world import ASKED, BY, DRIFTS, MODELS, Result, World, strategy
from gateway.cli.printing import print_columns

SEEDS = tuple(range(100, 105))
PARTS = 60
"""Into so many parts a run is divided for the picture."""


class Figure(msgspec.Struct, frozen=True):
    """One way to choose, over all seeds."""

    name: str
    reward: float
    """The share of answers that were good at once."""
    of_best_fixed: float
    per_dollar: float
    least_of_best_fixed: float
    """In the seed where it does worst."""
    us_per_decision: float | None = None
    rewards: tuple[float, ...] = ()
    """Over the run, in equal parts."""
    per_dollars: tuple[float, ...] = ()


def bench(seeds: Sequence[int] = SEEDS) -> list[Figure]:
    worlds = [World(seed) for seed in seeds]
    fixed = [world.best_fixed() for world in worlds]
    figures = []
    for name, guesses in (("dynamic", True), ("dynamic, no guesses", False)):
        if sys.stderr.isatty():
            print(f"\r{name:20}", end="", file=sys.stderr)
        began = time.process_time()
        results = [
            world.dynamic(strategy(seed if guesses else None)) for world, seed in zip(worlds, seeds, strict=True)
        ]
        spent = time.process_time() - began
        figures.append(_figure(name, results, fixed, spent / sum(len(each.good) for each in results) * 1e6))
    figures.append(_figure("best fixed", fixed, fixed))
    for model in MODELS:
        figures.append(_figure(model.name, [world.single(model.name) for world in worlds], fixed))
    return figures


def _figure(name: str, results: Sequence[Result], fixed: Sequence[Result], us: float | None = None) -> Figure:
    ratios = [result.reward / best.reward for result, best in zip(results, fixed, strict=True)]
    good, cost = (_in_parts([getattr(each, what) for each in results]) for what in ("good", "cost"))
    turns = _in_parts([[1.0] * len(each.good) for each in results])
    return Figure(
        name=name,
        reward=sum(good) / sum(turns),
        of_best_fixed=sum(ratios) / len(ratios),
        least_of_best_fixed=min(ratios),
        per_dollar=sum(good) / sum(cost),
        us_per_decision=us,
        rewards=tuple(one / all for one, all in zip(good, turns, strict=True)),
        per_dollars=tuple(one / all for one, all in zip(good, cost, strict=True)),
    )


def _in_parts(runs: Iterable[Sequence[float]]) -> list[float]:
    """The sums of equal parts of each run, added up."""
    parts = [0.0] * PARTS
    for run in runs:
        for at, value in enumerate(run):
            parts[at * PARTS // len(run)] += value
    return parts


def show(figures: Sequence[Figure]) -> None:
    head = ("WHO CHOOSES", "GOOD AT ONCE", "OF BEST FIXED", "WORST SEED", "GOOD PER $", "µs")
    rows = [
        (
            each.name,
            f"{each.reward:.3f}",
            f"{each.of_best_fixed:.3f}",
            f"{each.least_of_best_fixed:.3f}",
            f"{each.per_dollar:.1f}",
            f"{each.us_per_decision:.0f}" if each.us_per_decision else "",
        )
        for each in figures
    ]
    print_columns([head, *rows], indent=0)
    print("\nbest fixed: per kind of work the model with the best hidden rate, known beforehand, never changed")
    print("dynamic: the operator has guessed at each model's skills, erring by 0.1; no guesses: nothing was said")
    print(f"half way {DRIFTS[0]} gets worse at {DRIFTS[1]}, by {BY}; kinds of work: {', '.join(ASKED)}")


# The picture ----------------------------------------------------------------------------------------------------------

WIDTH, HEIGHT, PANEL, LEFT, TOP = 1080, 400, 350, 50, 56
INK: Mapping[str, tuple[str, float, str]] = {
    "dynamic": ("#c2410c", 2.6, ""),
    "dynamic, no guesses": ("#c2410c", 1.4, "2 3"),
    "best fixed": ("#1d4ed8", 1.8, "7 4"),
}
"""Colour, width and dashes of a line; the rest is grey."""


def picture(figures: Sequence[Figure]) -> str:
    """SVG: over the run, the share of good answers, and good answers per dollar."""
    panels = (
        ("Answers good at once", {each.name: each.rewards for each in figures}, 1.0, "{:.1f}"),
        (
            "Good answers per dollar, repairs included",
            {each.name: each.per_dollars for each in figures},
            None,
            "{:.0f}",
        ),
    )
    drawn = [_panel(LEFT + number * (WIDTH // 2), *panel) for number, panel in enumerate(panels)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        f'font-size="11" fill="#444">\n<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>\n{"".join(drawn)}</svg>\n'
    )


def _panel(left: int, title: str, lines: Mapping[str, Sequence[float]], top: float | None, form: str) -> str:
    smooth = {name: _smooth(values) for name, values in lines.items()}
    most = top or max(max(values) for values in smooth.values()) * 1.05
    height = HEIGHT - TOP - 50
    ends = _apart({name: TOP + height * (1 - values[-1] / most) for name, values in smooth.items()})
    parts = [f'<text x="{left}" y="{TOP - 22}" font-size="14" fill="#111">{escape(title)}</text>\n']
    for fifth in range(6):
        y = TOP + height * (1 - fifth / 5)
        parts.append(f'<path d="M{left} {y:.1f}h{PANEL}" stroke="#e5e5e5"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{form.format(most * fifth / 5)}</text>\n')
    middle = left + PANEL / 2
    parts.append(f'<path d="M{middle} {TOP}v{height}" stroke="#bbb" stroke-dasharray="3 3"/>')
    parts.append(f'<text x="{middle + 5}" y="{TOP + height - 6}">{DRIFTS[0]} gets worse at {DRIFTS[1]}</text>\n')
    parts.append(f'<text x="{left}" y="{TOP + height + 20}">first session</text>')
    parts.append(f'<text x="{left + PANEL}" y="{TOP + height + 20}" text-anchor="end">last</text>\n')
    # Those that matter are drawn last, above the others.
    for name in sorted(smooth, key=lambda name: name in INK):
        colour, width, dashes = INK.get(name, ("#a3a3a3", 1.1, ""))
        step = PANEL / (PARTS - 1)
        points = " ".join(
            f"{left + at * step:.1f},{TOP + height * (1 - value / most):.1f}" for at, value in enumerate(smooth[name])
        )
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width}"'
            f"{f' stroke-dasharray={chr(34)}{dashes}{chr(34)}' if dashes else ''}/>\n"
        )
        shown = colour if name in INK else "#737373"
        parts.append(f'<text x="{left + PANEL + 6}" y="{ends[name] + 4:.1f}" fill="{shown}">{escape(name)}</text>\n')
    return "".join(parts)


def _smooth(values: Sequence[float]) -> list[float]:
    """The mean of each value and its neighbours, two to either side."""
    windows = [values[max(0, at - 2) : at + 3] for at in range(len(values))]
    return [sum(each) / len(each) for each in windows]


def _apart(places: Mapping[str, float], least: float = 13.0) -> dict[str, float]:
    """The places of labels, none of which covers another."""
    found: dict[str, float] = {}
    lowest = 0.0
    for name, place in sorted(places.items(), key=lambda each: each[1]):
        found[name] = lowest = max(place, lowest + least)
    return found


def write(figures: Sequence[Figure], path: str) -> None:
    Path(path).write_text(picture(figures))
