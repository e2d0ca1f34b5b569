"""One request as a waterfall in the terminal: what was decided, who was tried when, what it took and cost.

All of it is text from elsewhere (clients, vendors), so nothing is printed that could move the cursor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from gateway.cli.printing import columns
from gateway.observe.decisions import UNREAD

NARROWEST_BAR = 10
# Of the width, what the longest name beside a bar may take; and what it always may.
_LABEL_SHARE, _SHORT_LABEL = 0.4, 16


class Look(NamedTuple):
    """How it is drawn. ``width`` in characters; a program that reads it gets neither colours nor other signs."""

    width: int = 100
    colours: bool = False
    blocks: bool = False


PLAIN = Look()

Found = Mapping[str, Any]
_COLOURS = {"ok": "32", "error": "31", "timeout": "31", "rejected": "33", "cancelled": "33", "faint": "2", "bold": "1"}
# Waiting for the first output, the answer, a back-off, a moment; the first of each pair where there are blocks.
_SIGNS = {"wait": ("░", "-"), "answer": ("█", "="), "backoff": ("·", "."), "moment": ("▏", "|")}


def report(found: Found, look: Look = PLAIN) -> list[str]:
    """The lines. ``found`` is the answer of ``/admin/requests/{id}``."""
    found = cleaned(found)
    parts = (_head, _decision, _bars, _attempts, _facts)
    lines: list[str] = []
    for part in parts:
        said = [line.rstrip() for line in part(found, look)]
        lines += ["", *said] if said and lines else said
    return lines


# The parts ------------------------------------------------------------------------------------------------------------


def _head(found: Found, look: Look) -> Iterator[str]:
    outcome = found["outcome"] or "running"
    status = f" {found['status']}" if found["status"] else ""
    why = f"  {found['error_type']}" if found["error_type"] else ""
    told = f"{outcome}{status} in {_seconds(found['seconds'])}"
    first = f", first output after {_seconds(found['ttft'])}" if found["ttft"] is not None else ""
    yield f"{_painted(found['id'], 'bold', look)}  {_painted(told, outcome, look)}{first}{why}"
    model = found["model"]
    public = f" is {model['public']}" if model["public"] != model["asked"] else ""
    said = [f'model "{model["asked"]}"{public}']
    said += [f'pinned by {found["pinned"]} to "{found["plan"]["asked"]}"'] if found["pinned"] else []
    said += [f"{'served by' if outcome == 'ok' else 'last tried'} {found['target']}"] if found["target"] else []
    yield f"{', '.join(said)}{' (stream)' if found['stream'] else ''}"
    who = {"caller": found["caller"], "session": found["session"], "trace": found["trace_id"]}
    yield "  ".join([found["time"], *(f"{name} {value}" for name, value in who.items() if value)])
    if found["same_id"] > 1:
        yield f"{found['same_id']} requests have this id: this is the newest"


def _decision(found: Found, look: Look) -> Iterator[str]:
    plan = found["plan"]
    if plan is None:
        yield "no plan was made"
        return
    yield f"{plan['strategy']}: {plan['reason']}"
    yield f"  {' > '.join(plan['targets'])}"
    yield from (f"  {line}" for line in columns(reasons(plan, found["kind"])))
    for each in found["switches"]:
        why = f": {each['why']}" if each["why"] else ""
        yield f"  switched  {each['from']} > {each['to']}  {each['reason']}{why}"


def reasons(plan: Found, kind: str | None) -> list[tuple[str, str]]:
    """Why a plan is as it is, as names and what there is to say. ``plan`` is one of ``decisions.told``."""
    said = f"{plan['rule']}: {plan['rule_says']}" if plan["rule_says"] else plan["rule"]
    turn = f", turn {plan['turn']}" if plan["turn"] else ""
    rows = [("rule", said)]
    rows += [("evidence", each) for each in plan["evidence"]]
    rows += [("request", f"{kind}{turn}")] if kind and kind != UNREAD else []
    rows += [("task", plan["task"])] if plan["task"] else []
    rows += [("weighed", _weighed(each)) for each in plan["candidates"]]
    if plan["consult"]:
        rows.append(("asked first", f"{' > '.join(plan['consult']['targets'])}: {plan['consult']['why']}"))
    return rows + [("left out", f"{each['target']}: {each['reason']}") for each in plan["left_out"]]


def _weighed(candidate: Found) -> str:
    score = "" if candidate["score"] is None else f"  {candidate['score']:.3g}"
    return f"{candidate['reference']}{score}{'  ' + candidate['why'] if candidate['why'] else ''}"


def _bars(found: Found, look: Look) -> Iterator[str]:
    """A line per step: its name, its bar on the common scale, what came of it."""
    total = max([found["seconds"], *(step["end"] or 0.0 for step in found["waterfall"])]) or 1e-9
    rows = [(_label(step), step, _said(step, total)) for step in found["waterfall"]]
    longest = max(_SHORT_LABEL, int(look.width * _LABEL_SHARE))
    names = min(max(len(label) for label, _, _ in rows), longest)
    results = max(len(said) for _, _, said in rows)
    room = look.width - names - results - 4
    for label, step, said in rows:
        bar = f"{_bar(step, total, room, look)}  " if room >= NARROWEST_BAR else ""
        yield f"{_shortened(label, names).ljust(names)}  {bar}{_painted(said, step.get('outcome') or 'faint', look)}"


def _label(step: Found) -> str:
    if step["step"] == "attempt":
        return f"{step['number']}. {step['target']}"
    return "   back-off" if step["step"] == "backoff" else step["step"]


def _said(step: Found, total: float) -> str:
    """``+1.25s  0.41s  error provider_overloaded``"""
    start, end = step["start"], step["end"]
    took = "" if step["step"] not in ("attempt", "backoff") else _seconds((total if end is None else end) - start)
    if step["step"] == "backoff":
        result = {"retry_after": "as the vendor asked", "backoff": ""}[step["cause"]]
    else:
        result = f"{step.get('outcome') or ''} {step.get('error_type') or ''}".strip()
        result = "running" if end is None else result
    return f"{'+' + _seconds(start):>8}  {took:>6}  {result}".rstrip()


def _bar(step: Found, total: float, room: int, look: Look) -> str:
    def place(at: float) -> int:
        return min(room - 1, int(at / total * room))

    signs = {name: pair[0 if look.blocks else 1] for name, pair in _SIGNS.items()}
    first, last = place(step["start"]), place(total if step["end"] is None else step["end"])
    if step["step"] == "attempt":
        output = step["first_output"]
        waiting = last if output is None else max(first, place(output))
        drawn = signs["wait"] * (waiting - first) + signs["answer"] * (last - waiting + (output is not None))
        drawn = drawn or signs["wait"]
    elif step["step"] == "backoff":
        drawn = signs["backoff"] * max(1, last - first)
    else:
        drawn = signs["moment"]
    colour = step.get("outcome") or ("bold" if step["step"] == "attempt" else "faint")
    return " " * first + _painted(drawn, colour, look) + " " * (room - first - len(drawn))


def _attempts(found: Found, look: Look) -> Iterator[str]:
    """What the bars have no room for: where each attempt went, why, and in whose words it failed."""
    for each in found["attempts"]:
        key = f"key {each['key']}" if each["key"] > 1 else ""
        why = ", ".join(filter(None, (each["reason"], key)))
        yield f"{each['number']}. {each['kind']}{f' ({why})' if why else ''}  {each['url']}"
        if dropped := each.get("dropped"):
            yield f"   without {', '.join(dropped)}: it has no words for that"
        if each["outcome"] not in ("ok", None):
            status = f" {each['status']}" if each["status"] else ""
            asked = f", to be asked again in {_seconds(each['retry_after'])}" if each["retry_after"] is not None else ""
            late = " after its first output" if each["after_output"] else ""
            said = f": {each['message']}" if each["message"] else ""
            yield f"   {each['fault'] or each['error_type']}{status}{late}{asked}{said}"
    error = found["error"]
    if error and (error["crashed"] or not found["attempts"] or error["code"]):
        told = error["message"] or ("the gateway failed; its log says why" if error["crashed"] else "")
        yield f"the client was told: {error['code'] or error['fault']}{': ' + told if told else ''}"


def _facts(found: Found, look: Look) -> Iterator[str]:
    said = {name: tell(found) for name, tell in _FACTS.items()}
    yield from columns([(name, value) for name, value in said.items() if value])


def _tokens(found: Found) -> str:
    tokens = found["tokens"]
    if not tokens:
        return ""
    parts = {"from cache": tokens["cache_read"], "to cache": tokens["cache_write"]}
    of_input = ", ".join(f"{count:,} {name}" for name, count in parts.items() if count)
    reasoning = f" ({tokens['reasoning']:,} reasoning)" if tokens["reasoning"] else ""
    return f"{tokens['input']:,} in{f' ({of_input})' if of_input else ''}, {tokens['output']:,} out{reasoning}"


def _cost(found: Found) -> str:
    if found["cost_usd"] is None:
        return "not known" if found["tokens"] else ""
    return f"${found['cost_usd']:.6f} ({_SOURCES.get(found['cost_source'], found['cost_source'])})"


_SOURCES = {"vendor": "the vendor says so", "override": "by observe.prices", "table": "by list price"}


def _context(found: Found) -> str:
    context = found["context"]
    if context["tokens"] is None:
        return ""
    window = context["window"]
    of = f" of {window:,} ({context['tokens'] / window:.0%})" if window else ""
    growth = f", {context['growth']:+,} since the session's last request" if context["growth"] is not None else ""
    return f"{context['tokens']:,} tokens{of}{growth}{', compacted' if context['compacted'] else ''}"


def _judged(found: Found) -> str:
    return ", ".join(map(_one_judged, found["tools"]))


def _one_judged(tool: Found) -> str:
    evidence = f" ({tool['evidence']})" if tool["evidence"] and tool["outcome"] != "ok" else ""
    return f"{tool['tool']} {tool['outcome']}{evidence}{', called again' if tool['repeated'] else ''}"


def _phases(found: Found) -> str:
    return ", ".join(f"{name} {_seconds(seconds)}" for name, seconds in found["phases"].items())


_FACTS: Mapping[str, Callable[[Found], str]] = {
    "tokens": _tokens,
    "cost": _cost,
    "context": _context,
    "tools called": lambda found: ", ".join(found["tools_called"]),
    "tools judged": _judged,
    "ended by": lambda found: ", ".join(found["finish_reasons"]),
    "own time": lambda found: _seconds(found["overhead"]) if found["overhead"] is not None else "",
    "phases": _phases,
    "prompt": lambda found: found["prompt"] or "",
    "client": lambda found: "  ".join(filter(None, (found["client"], found["user_agent"]))),
}


# Text -----------------------------------------------------------------------------------------------------------------


def cleaned(value: Any) -> Any:
    """The same, with every character that is no plain text replaced."""
    match value:
        case str():
            return value if value.isprintable() else "".join(each if each.isprintable() else "?" for each in value)
        case dict():
            return {name: cleaned(each) for name, each in value.items()}
        case list():
            return [cleaned(each) for each in value]
    return value


def _seconds(seconds: float) -> str:
    """``0.4ms``, ``35ms``, ``1.25s``, ``95s``"""
    if seconds < 0.0995:
        return f"{seconds * 1000:.{0 if seconds == 0 or seconds >= 0.00995 else 1}f}ms"
    return f"{seconds:.{2 if seconds < 9.995 else 1 if seconds < 99.95 else 0}f}s"


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def _painted(text: str, colour: str, look: Look) -> str:
    code = _COLOURS.get(colour)
    return f"\x1b[{code}m{text}\x1b[0m" if look.colours and code and text else text
