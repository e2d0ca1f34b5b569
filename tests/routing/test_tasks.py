"""What kind of work a request is: prompts with the right answer, and what must not change it."""

from __future__ import annotations

from collections import Counter

import pytest
import yaml

from gateway.chat import Facts
from gateway.routing.tasks import HEAD, TASKS, is_foreign, task_of
from gateway.routing.turns import Reading
from tests.corpus import ROOT

PROMPTS = yaml.safe_load((ROOT / "tasks.yaml").read_text())
PLAIN, AGENT = Facts(model="m"), Facts(model="m", tools=True)


def told(text: str, facts: Facts = PLAIN, before: str | None = None, **more: bool) -> str:
    return task_of(facts, Reading(asked=text, **more), before)


@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda prompt: prompt["text"][:40])
def test_a_prompt(prompt: dict[str, str]):
    facts = AGENT if prompt["tools"] else PLAIN
    assert told(prompt["text"], facts) == prompt.get("taken_for", prompt["task"])


def test_nine_in_ten_are_right_and_the_others_are_mostly_called_nothing_special():
    wrong = Counter((each["task"], each["taken_for"]) for each in PROMPTS if "taken_for" in each)
    assert len(PROMPTS) >= 100
    assert {each["task"] for each in PROMPTS} == set(TASKS) - {"vision", "structured", "embeddings"}
    assert wrong.total() <= len(PROMPTS) / 10, wrong
    assert sum(count for (_, taken_for), count in wrong.items() if taken_for in ("chat", "tools")) >= wrong.total() - 1


def test_what_is_asked_of_the_gateway_goes_before_the_text():
    code = "Refactor parser.py and add unit tests"
    assert told(code, Facts(model="m", operation="embeddings")) == "embeddings"
    assert told(code, images=True) == "vision"
    assert told(code, Facts(model="m", structured=True)) == "structured"
    assert told(code, Facts(model="m", structured=True), images=True) == "vision"


@pytest.mark.parametrize("text", ["go on", "yes please", "that's still wrong, try again", "继续", "不对", ""])
def test_a_short_text_that_says_nothing_goes_on_with_the_job(text: str):
    assert told(text, AGENT, before="maths") == "maths"
    assert told(text, AGENT) == "tools"
    assert told(text, PLAIN) == "chat"
    # What only an image, or only the form of the answer, has told is over with it.
    assert told(text, AGENT, before="vision") == "tools"


def test_a_new_job_is_noticed():
    assert told("Now write an email to the team about it", AGENT, before="code") == "writing"


def test_what_is_pasted_in_the_middle_does_not_count():
    pasted = "the quick brown fox has a bug in parser.py and a traceback. " * 200
    assert told("Translate this article into German, please: " + "word " * 120 + pasted + "end. " * 100) == "writing"


@pytest.mark.parametrize("unit", ["a", "a-", "a/", "`", "1+", "(", " ", "a.", "\ud800", "求", "\x00"])
def test_odd_texts_have_some_task(unit: str):
    assert told(unit * 4000) in TASKS


@pytest.mark.parametrize(
    ("text", "foreign"),
    [
        ("Refactor the parser", False),
        ("Grüße aus Zürich, ça va?", False),
        ("重构这个函数", True),
        ("Почини парсер", True),
        ("パーサーを直して", True),
        ("اصلح الخطأ", True),
        ("Fix the bug in 解析器 of the parser module, please", False),
        ("", False),
        ("a" * HEAD + "重" * 1000, False),
    ],
)
def test_letters_beyond_latin(text: str, foreign: bool):
    assert is_foreign(text) is foreign
