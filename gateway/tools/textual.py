"""Calls of tools as models write them into text, for want of a better place: the common forms, one row each.

What each looks like, by the chat templates of the models that were taught it: Hermes and Qwen (``<tool_call>`` with
JSON), Qwen3-Coder (``<function=…><parameter=…>``), GLM (``<arg_key>``), Llama (``<|python_tag|>``,
``<function=…>{…}``), Mistral (``[TOOL_CALLS]``), DeepSeek (``<｜tool▁calls▁begin｜>``), Kimi (``<|tool_call_begin|>``),
gpt-oss (https://github.com/openai/harmony), ReAct (``Action:``), and JSON in a block of code or alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, NamedTuple

from gateway.tools.loose_json import mended

MOST_CALLS = 128
"""Calls that are read in one piece of text."""
LONGEST_HEAD = 400
"""Characters after an opening within which it shows what follows."""


class Read(NamedTuple):
    """A call as it was written. ``arguments`` is JSON."""

    name: str
    arguments: str


Ends = Literal["json", "closer", "never", "wait"]
"""Where what was opened ends: with its JSON value, at its closing mark, nowhere (no call), or too early to say."""


class Form(NamedTuple):
    opener: str
    ends: Callable[[str], Ends]
    """Of what follows the opening so far."""
    calls: Callable[[str], Iterable[Read]]
    """All of it, from the opening to the end -> what is called there."""
    closer: str = ""


# How it goes on -------------------------------------------------------------------------------------------------------

_NAMES = ("name", "tool", "tool_name", "function_name", "function", "action", "recipient_name")
_ARGUMENTS = ("arguments", "parameters", "args", "input", "params", "kwargs", "action_input", "tool_input")
_LISTS = ("tool_calls", "calls", "tool_uses")
_BEFORE_THEM = ("id", "type", "call_id", "thought", "reasoning")
_FIRST_KEYS = frozenset((*_NAMES, *_ARGUMENTS, *_LISTS, *_BEFORE_THEM))
_FIRST_KEY = re.compile(r"[\[{\s]{0,40}[\"']?([A-Za-z_]{1,40})[\"']?\s{0,10}:")
_LANGUAGE = re.compile(
    r"[ \t]*(?:json[c5]?|tool_?calls?|tool_code|action|function_call)?[ \t]*(\r?\n|(?=[\[{]))", re.IGNORECASE
)
_GLM_NAME = re.compile(r"\s*[\w.-]{1,128}\s*(?:<arg_key>|\n)")


def _json_only(head: str) -> Ends:
    said = head.lstrip()
    if not said:
        return "wait"
    return "json" if said[0] in "{[" else "never"


def _a_call_in_json(head: str) -> Ends:
    """Where nothing else marks it as a call, its first key does."""
    if _json_only(head) != "json":
        return _json_only(head)
    key = _FIRST_KEY.match(head)
    if key:
        return "json" if key[1].lower() in _FIRST_KEYS else "never"
    return "wait" if re.fullmatch(r"[\[{\s\"'\w]{1,80}", head) and "[]" not in head else "never"


def _fenced(head: str) -> Ends:
    """```` ```json````, or a block of code in no language."""
    language = _LANGUAGE.match(head)
    if language:
        return _a_call_in_json(head[language.end() :])
    return "wait" if "\n" not in head and len(head) < 20 else "never"


def _marked(head: str) -> Ends:
    """``<tool_call>``: JSON, or other marks."""
    said = head.lstrip()
    if not said:
        return "wait"
    if said[0] in "{[":
        return "json"
    if said[0] == "<" or _GLM_NAME.match(head):
        return "closer"
    return "wait" if re.fullmatch(r"\s*[\w.-]{1,128}[ \t]*", head) else "never"


def _to_its_closer(head: str) -> Ends:
    return "closer"


def _named_then_json(head: str) -> Ends:
    """``[TOOL_CALLS]shell[ARGS]{…}``, ``[TOOL_CALLS][{…}]``."""
    if re.match(r"\s*(?:\[\s*\{|[\w.-]{1,128}(?:\[CALL_ID\][\w-]{0,80})?(?:\[ARGS\])?\s*\{|\{)", head):
        return "json"
    return "wait" if re.fullmatch(r"\s*[\[\]\w.\s-]*", head) else "never"


def _to_a_tool(head: str) -> Ends:
    """gpt-oss: who is spoken to stands ahead of the message."""
    before, message, _ = head.partition("<|message|>")
    if not message:
        return "wait"
    return "json" if "to=" in before else "never"


def _action(head: str) -> Ends:
    found = re.match(r"[^\n]{1,200}\n\s*Action Input:[ \t]*(\S)?", head)
    if found:
        return "wait" if found[1] is None else "json" if found[1] == "{" else "closer"
    first, newline, rest = head.partition("\n")
    waiting = not newline or "Action Input:".startswith(rest.lstrip()[:13])
    return "wait" if waiting and len(first) <= 200 else "never"


# What is called -------------------------------------------------------------------------------------------------------


def _of_json(text: str) -> Iterator[Read]:
    start = re.search(r"[{\[]", text)
    found = mended(_up_to_closer(text[start.start() :])) if start else None
    for value in found.values if found else ():
        yield from _of_value(json.loads(value))


def calls_in_json(text: str) -> list[Read] | None:
    """Those that JSON alone names; None where it is no JSON."""
    found = mended(text)
    return [read for value in found.values for read in _of_value(json.loads(value))] if found else None


def _up_to_closer(text: str) -> str:
    """Without the marks that a model puts after the JSON."""
    end = max(text.rfind("}"), text.rfind("]"))
    return text[: end + 1] if end >= 0 else text


def _of_value(value: Any, deeper: bool = True) -> Iterator[Read]:
    """``{"name": …, "arguments": …}`` in all its spellings, or several of them."""
    if isinstance(value, list):
        for each in value[:MOST_CALLS] if deeper else ():
            yield from _of_value(each, deeper=False)
        return
    if not isinstance(value, dict):
        return
    several = next((value[key] for key in _LISTS if isinstance(value.get(key), list)), None)
    if several is not None and deeper:
        yield from _of_value(several)
        return
    if isinstance(value.get("function"), dict):
        value = value["function"]
    name = next((value[key] for key in _NAMES if isinstance(value.get(key), str)), None)
    if name is None:
        return
    arguments: Any = next((value[key] for key in _ARGUMENTS if key in value), {})
    if isinstance(arguments, str):
        yield Read(name, arguments)
    elif isinstance(arguments, dict):
        yield Read(name, _written(arguments))


def _of_named_json(text: str) -> Iterator[Read]:
    named = re.match(r"\[TOOL_CALLS\]\s*([\w.-]{1,128})(?:\[CALL_ID\][\w-]{0,80})?(?:\[ARGS\])?\s*(?=\{)", text)
    if named is None:
        yield from _of_json(text.removeprefix("[TOOL_CALLS]"))
    else:
        yield Read(named[1], _up_to_closer(text[named.end() :]))


def _of_harmony(text: str) -> Iterator[Read]:
    before, _, said = text.partition("<|message|>")
    to = re.search(r"to=([\w.-]{1,128})", before)
    if to:
        yield Read(to[1], _up_to_closer(said))


def _of_action(text: str) -> Iterator[Read]:
    found = re.match(r"\s*Action:[ \t]*([^\n]{1,200})\n\s*Action Input:[ \t]*", text)
    if found:
        said = text[found.end() :].removesuffix("\nObservation").strip()
        yield Read(found[1].strip(), said)


_FUNCTION = re.compile(r"<(?:function=|invoke name=)[\"']?([^\s>\"']{1,200})[\"']?\s{0,20}>")
_PARAMETER = re.compile(r"<parameter(?:=|\s{1,5}name=)[\"']?([^>\"']{1,200})[\"']?[^>\n]{0,200}>")
_AFTER_PARAMETER = re.compile(r"\n?</parameter>")


def _of_functions(text: str) -> Iterator[Read]:
    """``<function=name>`` with JSON or parameters; what these are meant as is for the tool's schema to say."""
    heads = list(_FUNCTION.finditer(text))[:MOST_CALLS]
    for head, until in zip(heads, [*(each.start() for each in heads[1:]), len(text)], strict=True):
        said = text[head.end() : until]
        if said.lstrip().startswith("{"):
            yield Read(head[1], _up_to_closer(said))
            continue
        given = {}
        # What comes before the first parameter's name, then names and what follows them by turns.
        _, *pieces = _PARAMETER.split(said)
        for name, value in zip(pieces[::2], pieces[1::2], strict=True):
            given[name.strip()] = _AFTER_PARAMETER.split(value, maxsplit=1)[0].removeprefix("\n")
        yield Read(head[1], _written(given))


def _of_keys(text: str) -> Iterator[Read]:
    """``<tool_call>name<arg_key>k</arg_key><arg_value>v</arg_value></tool_call>``."""
    name, *pairs = text.removeprefix("<tool_call>").removesuffix("</tool_call>").split("<arg_key>")
    given = {}
    for pair in pairs:
        key, _, rest = pair.partition("</arg_key>")
        given[key.strip()] = rest.partition("<arg_value>")[2].partition("</arg_value>")[0]
    head, newline, said = name.strip().partition("\n")
    yield Read(head.strip(), said if newline and not given else _written(given))


def _of_marked(text: str) -> Iterator[Read]:
    if _FUNCTION.search(text):
        return _of_functions(text)
    inside = text.removeprefix("<tool_call>").lstrip()
    if inside[:1] in ("{", "["):
        return _of_json(inside)
    return _of_keys(text)


def _of_wrapped(text: str) -> Iterator[Read]:
    if _FUNCTION.search(text):
        yield from _of_functions(text)
    else:
        for piece in text.split("<tool_call>")[1 : MOST_CALLS + 1]:
            yield from _of_marked(piece.partition("</tool_call>")[0])


_DEEPSEEK_BEGIN, _DEEPSEEK_END, _DEEPSEEK_BETWEEN = "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", "<｜tool▁sep｜>"
_KIMI_BEGIN, _KIMI_END, _KIMI_BETWEEN = "<|tool_call_begin|>", "<|tool_call_end|>", "<|tool_call_argument_begin|>"


def _of_deepseek(text: str) -> Iterator[Read]:
    for piece in text.split(_DEEPSEEK_BEGIN)[1 : MOST_CALLS + 1]:
        said = piece.partition(_DEEPSEEK_END)[0].removeprefix(f"function{_DEEPSEEK_BETWEEN}")
        start = said.find("{")
        if start >= 0:
            name = said[:start].replace(_DEEPSEEK_BETWEEN, "\n").strip().partition("\n")[0]
            yield Read(name.strip(), _up_to_closer(said[start:]))


def _of_kimi(text: str) -> Iterator[Read]:
    for piece in text.split(_KIMI_BEGIN)[1 : MOST_CALLS + 1]:
        name, between, said = piece.partition(_KIMI_END)[0].partition(_KIMI_BETWEEN)
        if between:
            yield Read(name.strip(), said.strip())


def _written(arguments: dict[str, Any]) -> str:
    return json.dumps(arguments, ensure_ascii=False)


# All of them ----------------------------------------------------------------------------------------------------------

FORMS: tuple[Form, ...] = (
    Form("<tool_call>", _marked, _of_marked, "</tool_call>"),
    Form("<function_call>", _json_only, _of_json),
    Form("<tool_calls>", _to_its_closer, _of_wrapped, "</tool_calls>"),
    Form("<function_calls>", _to_its_closer, _of_wrapped, "</function_calls>"),
    Form("<function=", _to_its_closer, _of_functions, "</function>"),
    Form("<invoke name=", _to_its_closer, _of_functions, "</invoke>"),
    Form("[TOOL_CALLS]", _named_then_json, _of_named_json),
    Form("<|python_tag|>", _json_only, _of_json),
    Form("```", _fenced, _of_json),
    Form("<｜tool▁calls▁begin｜>", _to_its_closer, _of_deepseek, "<｜tool▁calls▁end｜>"),
    Form(_DEEPSEEK_BEGIN, _to_its_closer, _of_deepseek, _DEEPSEEK_END),
    Form("<|tool_calls_section_begin|>", _to_its_closer, _of_kimi, "<|tool_calls_section_end|>"),
    Form(_KIMI_BEGIN, _to_its_closer, _of_kimi, _KIMI_END),
    Form("<|start|>assistant", _to_a_tool, _of_harmony),
    Form("<|channel|>", _to_a_tool, _of_harmony),
)

LINE_FORMS: tuple[Form, ...] = (
    Form("Action:", _action, _of_action, "\nObservation"),
    Form("{", lambda head: _a_call_in_json("{" + head), _of_json),
    Form("[", lambda head: _a_call_in_json("[" + head), _of_json),
)
"""Those that stand at the beginning of a line."""

LEFT_OVER = re.compile(
    r"(?:\s|```|~~~|</(?:tool_calls?|function_calls?|function|invoke|s)>|<\|(?:call|eom_id|eot_id|im_end|end|end_of_text)\|>"
    r"|<\|tool_calls?_(?:section_)?end\|>|<｜(?:tool▁calls?▁end|end▁of▁sentence)｜>)+"
)
"""What models put after their calls and means nothing."""
