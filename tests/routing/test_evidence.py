"""What was measured: scores that fade with time and with newer ones, within bounds, and how sure they make."""

from __future__ import annotations

import random
import statistics

import pytest

from gateway.routing import Measured, Target
from gateway.routing import evidence as module
from gateway.routing.capabilities import BELIEVED, GUESSED, ROWS, SKILLS, UNKNOWN, grades
from gateway.routing.evidence import HALF_LIFE, MOST, Evidence, deviation, draw, estimate

A, B = Target("p", "a"), Target("p", "b")


def test_scores_add_up_each_target_and_task_for_itself():
    evidence = Evidence()
    for score in (1.0, 0.0, 0.75):
        evidence.learn(A, "code", score, 0.0)
    evidence.learn(A, "chat", 1.0, 0.0)
    evidence.learn(B, "code", 0.0, 0.0, weight=0.5)
    assert evidence.measured(A, "code", 0.0) == Measured(1.75, 1.25)
    assert evidence.measured(A, "chat", 0.0) == Measured(1.0, 0.0)
    assert evidence.measured(B, "code", 0.0) == Measured(0.0, 0.5)
    assert evidence.measured(B, "chat", 0.0) == Measured()


def test_half_is_left_after_a_half_life():
    evidence = Evidence()
    evidence.learn(A, "code", 1.0, 0.0)
    assert evidence.measured(A, "code", HALF_LIFE) == Measured(0.5, 0.0)
    evidence.learn(A, "code", 0.0, HALF_LIFE)
    assert evidence.measured(A, "code", HALF_LIFE) == Measured(0.5, 1.0)
    assert evidence.measured(A, "code", 2 * HALF_LIFE) == Measured(0.25, 0.5)


def test_a_score_that_comes_late_does_not_turn_time_back():
    evidence = Evidence()
    evidence.learn(A, "code", 1.0, HALF_LIFE)
    evidence.learn(A, "code", 1.0, 0.0)
    assert evidence.measured(A, "code", HALF_LIFE) == Measured(2.0, 0.0)
    assert evidence.measured(A, "code", 0.0) == Measured(2.0, 0.0)


def test_a_model_that_has_changed_is_known_for_what_it_is_now():
    evidence = Evidence()
    for _ in range(1000):
        evidence.learn(A, "code", 1.0, 0.0)
    assert evidence.measured(A, "code", 0.0).good == pytest.approx(MOST)
    for _ in range(200):
        evidence.learn(A, "code", 0.0, 0.0)
    found = evidence.measured(A, "code", 0.0)
    assert found.good + found.bad == pytest.approx(MOST)
    assert found.good / MOST < 0.4


@pytest.mark.parametrize(("score", "good"), [(7.0, 1.0), (-1.0, 0.0), (float("nan"), 0.0), (float("inf"), 1.0)])
def test_odd_scores_stay_within_bounds(score: float, good: float):
    evidence = Evidence()
    evidence.learn(A, "code", score, 0.0)
    assert evidence.measured(A, "code", 0.0) == Measured(good, 1 - good)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MOST_ROWS", 3)
    evidence = Evidence()
    for number in range(3):
        evidence.learn(Target("p", str(number)), "code", 1.0, 0.0)
    evidence.learn(Target("p", "0"), "code", 1.0, 0.0)
    evidence.learn(A, "code", 1.0, 0.0)
    assert [target.model for target, _, _ in evidence.rows(0.0)] == ["2", "0", "a"]


@pytest.mark.parametrize(("good", "bad"), [(1.5, 0.5), (6.0, 2.0), (7.6, 0.4), (40.0, 8.0), (190.0, 20.0), (3.0, 9.0)])
def test_the_interval_holds_nine_in_ten(good: float, bad: float):
    draw = random.Random(3).betavariate
    found = estimate(good, bad)
    within = sum(found.low <= draw(good, bad) <= found.high for _ in range(20_000)) / 20_000
    # Where hardly anything is known, a little more than nine in ten.
    assert 0.89 <= within <= (0.94 if good < 1 or bad < 1 else 0.912)
    assert found.low < found.mean < found.high
    assert found.mean == good / (good + bad)
    assert deviation(good, bad) > 0


@pytest.mark.parametrize(("good", "bad"), [(1.5, 0.5), (6.0, 2.0), (40.0, 8.0), (3.0, 9.0)])
def test_draws_are_spread_as_they_should_be(good: float, bad: float):
    chance = random.Random(3).random
    drawn = [draw(good, bad, chance) for _ in range(20_000)]
    assert statistics.fmean(drawn) == pytest.approx(good / (good + bad), abs=0.02)
    assert statistics.stdev(drawn) == pytest.approx(deviation(good, bad), rel=0.15)
    assert all(0 < each < 1 for each in drawn)
    for number in (0.0, 0.5, 0.999999999999):
        assert 0 <= draw(good, bad, lambda: number) <= 1  # noqa: B023


# What is believed beforehand


@pytest.mark.parametrize(
    ("better", "worse", "skill"),
    [
        ("claude-opus-4-5", "claude-haiku-4-5", "reasoning"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-3-haiku-20240307", "code"),
        ("gpt-5", "gpt-5-mini", "chat"),
        ("openai/gpt-5-mini-2025-08-07", "gpt-5-nano", "code"),
        ("o3", "gpt-4o", "maths"),
        ("gemini-2.5-pro", "gemini-2.5-flash-lite", "vision"),
        ("meta-llama/Llama-3.3-70B-Instruct-Turbo", "llama3.2:3b", "code"),
        ("Qwen/Qwen3-Coder-480B-A35B-Instruct", "qwen3:8b", "code"),
        ("accounts/fireworks/models/deepseek-v3p2", "deepseek-r1-distill-llama-70b", "tools"),
    ],
)
def test_grades_follow_the_families(better: str, worse: str, skill: str):
    assert grades(better).of[skill] > grades(worse).of[skill]


def test_grades_are_complete_and_weigh_little():
    for row in (*ROWS.values(), UNKNOWN):
        assert set(row.of) == set(SKILLS)
        assert all(0 < grade < 1 for grade in row.of.values())
    assert {row.weight for row in ROWS.values()} == {BELIEVED}
    assert grades("something-nobody-knows") == UNKNOWN
    assert UNKNOWN.weight == GUESSED
