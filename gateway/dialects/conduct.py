"""What became of the tool calls a model made, read from the request that brings their results.

The order of evidence: the call itself, structured flags, exit codes, and words last, those at the head or the tail
only: a file that was read may hold any word. To teach it another agent's words, add a row to ``SIGNS``.
"""

from __future__ import annotations

import re
import shlex
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

import msgspec

from gateway.chat import LONGEST_NAME, Turn
from gateway.dialects.mending import mended

Verdict = Literal["ok", "error", "invalid_args", "unknown_tool", "unanswered"]
Place = Literal["head", "whole", "tail", "last"]
"""Where words count: how a result begins; the same, of a short result; one of its last lines; its last line."""


class Judged(msgspec.Struct, frozen=True):
    """One tool call. ``id`` is made of its place in the conversation where the call has none."""

    id: str
    tool: str
    outcome: Verdict
    evidence: str
    """The marker that told, 80 characters at most; nothing of what the tool brought."""
    repeated: bool
    """The tool's last result before this call was a failure."""


class Finding(NamedTuple):
    verdict: Verdict
    evidence: str = ""


MOST_CALLS = 200  # of one message: no agent makes more at once, but a body may claim anything
OK = Finding("ok")
NO_RESULT = Finding("unanswered", "no result")
NOT_OFFERED = Finding("unknown_tool", "not among the tools offered")
NOT_AN_OBJECT = Finding("invalid_args", "arguments are no JSON object")

# What agents say ------------------------------------------------------------------------------------------------------

ENDS = 400
"""Characters of a result's head, of its tail, and the most a short result has."""
LAST_LINES = 4  # a tail's
_NAME = r"[\w.:/-]{1,64}"
_TIMED_OUT = r"(?:the |your )?(?:\w{1,20} )?(?:command|tool|request|operation|process|call|execution) timed out\b"


# Matched without regard to case where a line begins. What a pattern, or its group ``marker``, matches is shown: it
# must not take the tool's own text along. A group ``named`` holds a tool's name: it tells if that was the one called.
SIGNS: dict[tuple[Verdict, Place], tuple[str, ...]] = {
    # The tool does not exist. Looked for before the arguments: opencode calls those invalid when the tool is unknown.
    ("unknown_tool", "head"): (
        r"(?:the arguments provided to the tool are invalid: )?model tried to call unavailable tool",
        r"(?:unknown|unsupported|unregistered|unrecognized) (?:tool|function|call)\b",
        r"no such (?:tool|function)\b|\w{0,20}NoSuchToolError\b|no tool named\b",
        rf"(?:the )?(?:tool|function)\W{{1,3}}(?P<named>{_NAME}?)\W{{1,3}}"
        r"(?:(?:was|is|does) )?(?:not (?:found|exist|available|registered|recognized|supported)|unavailable)\b",
        rf"{_NAME} is not a valid tool\b",
    ),
    # The arguments do not fit, as said by Rust (serde), zod, pydantic, JSON Schema (ajv), Python's own call, agents.
    ("invalid_args", "head"): (
        r"(?:invalid|malformed|bad) (?:(?:tool|function|call|input) ){0,2}(?:arguments?|args|parameters?|params)\b",
        r"InputValidationError|ZodError\b|invalid input(?::| for tool\b)|\d{1,4} validation errors?\b",
        r"(?:input|schema|type|arguments?|parameters?) validation (?:error|failed)\b",
        r"missing (?:(?:value for )?required )?(?:field|arguments?|parameters?|propert(?:y|ies))\b",
        r"required (?:field|argument|parameter|property)\W{1,3}[\w.]{1,64}\W{1,3}(?:is |was )?(?:missing|not provided)",
        r"(?:params|input|arguments) must (?:have|be|match|not)\b|must have required property\b",
        r"(?:unknown|unexpected) (?:field|argument|parameter|property)\b",
        r"(?:failed to|could not|cannot|unable to) (?:deserialize|parse|decode|interpret) "
        r"(?:(?:the|tool|function|call|use|input) ){0,3}(?:parameters|arguments|params)\b",
        rf"(?:the )?{_NAME} tool was called with invalid arguments",
        r"the arguments provided to the tool are invalid|received tool input did not match",
        rf"error invoking tool\W{{1,3}}{_NAME}\W{{1,3}}with kwargs\b",
        rf"{_NAME}\(\) (?:got an unexpected keyword argument|missing \d{{1,3}} required)",
        r'\[\s*\{\s*"(?:code|expected|validation|received|origin)"\s*:\s*"[\w.-]{1,40}"\s*,\s*'
        r'"(?:code|expected|received|values|keys|minimum|validation)"\s*:',
    ),
    ("error", "head"): (
        # A person said no. The call was readable and nothing broke, yet it did not do what it was made for, and Claude
        # Code sends such results with is_error: an error, so that the rejections of all agents count alike.
        r"(?:the )?user (?:has )?(?:doesn[’']t want to proceed|did(?: not|n[’']t) allow|chose not to"
        r"|declined|rejected|denied|cancell?ed|aborted)\b",
        r"(?:(?:exec )?command |patch |tool (?:call |use )?)?(?:was )?"
        r"(?:rejected|declined|denied|cancell?ed|aborted|interrupted) by (?:the )?user\b",
        r"\[request interrupted by user|\[operation cancell?ed\]|tool execution (?:was )?(?:aborted|cancell?ed)",
        r"(?P<marker>permission to use)\b[^\n]{1,200} (?:auto-)?denied\b",
        # The agent's words, then a program's.
        r"the tool call returned the following error:|<tool_use_error>|<error>|\[error\]",
        r"error(?: \([\w -]{1,40}\))?\s*(?::(?!\s*(?:\(?none\)?|null|0)\s*(?:\n|\Z))|\n|\Z)",
        r"error (?:executing|calling|running|invoking|performing|reading|writing|accessing|editing)\b",
        r"failed to [a-z]{2,20}\b|(?:apply_patch|exec_command|tool|command|execution)(?: [a-z]{1,20})? failed\b",
        r"[a-z_][\w.]{0,60}(?:Error|Exception): |MCP error\b|npm (?:ERR!|error )|fatal: |panic: ",
        r"traceback \(most recent call last\)",
        _TIMED_OUT,
        # JSON that was cut off, so that it cannot be read as what it is.
        r'\{[^{}]{0,200}(?P<marker>"(?:success|ok)"\s*:\s*false|"is_?error"\s*:\s*true)',
    ),
    # A shell's and an editor's complaints, where they are all there is.
    ("error", "whole"): (
        r"[\w./-]{1,60}: (?:(?:line )?\d{1,5}: )?(?:[^\n]{1,200}: )?"
        r"(?P<marker>command not found|no such file or directory|permission denied|(?:is|not) a directory)\b",
        r"\w{0,4}sh: \d{1,5}: [^\n]{1,100}: (?P<marker>not found)\b",
        r"(?P<marker>no such file or directory|permission denied|access denied|EACCES|ENOENT)\b",
        r"(?:file|path|directory)\b[^\n]{0,200} (?P<marker>not found|does(?: not|n't) exist)\b",
        r"string to replace not found|oldString not found|file has not been read yet",
    ),
    # What ran says how it went: some agents leave out the exit code.
    ("error", "tail"): (
        _TIMED_OUT,
        rf"(?:{_NAME} )?tool terminated command after exceeding timeout",
        r"=+ (?P<marker>(?:\d{1,6} \w{1,12}, ){0,4}\d{1,6} (?:failed|errors?)\b)[^\n]* in [\d.]+s",
        r"FAILED \((?:failures|errors)=\d+|error: (?:could not compile|test failed)|npm (?:ERR!|error )",
        r"make(?:\[\d+\])?: \*\*\* ",
    ),
    ("error", "last"): (
        r"fix the errors? and try again\.?$",
        r"[a-z_][\w.]{0,60}(?:Error|Exception)(?=: |$)",
    ),
}

# What may stand before the words that tell: the agent's and the protocol's own. Each is skipped in turn.
PREFIXES = (
    r"<[a-z_]{1,40}>",
    r"the tool call returned the following error:",
    r"-3\d{4}:",
    r"(?:mcp |rpc |tool |validation |request )?"
    r"error(?: (?:executing|calling|running|invoking|in) [^\n:]{1,80})?(?: -?\d{3,6})?:",
    r"(?:tool )?(?:call|execution|request) failed:",
    r"[a-z]\w{0,60}(?:Error|Exception):",
    r"\[error\]",
    r"[❌✖✗✘⚠\uFE0F!*]",
)
MOST_PREFIXES = 6

# Blocks that agents add to what was said, in results too.
WRAPPERS = ("turn-context", "system-reminder", "environment_details")

# JSON-RPC's own numbers: https://www.jsonrpc.org/specification#error_object
RPC_CODES: dict[Any, Verdict] = {-32602: "invalid_args", -32601: "unknown_tool"}

# How agents tell a command's exit code before its output (Codex, Claude Code, Roo, mini-swe-agent), or after it.
_EXIT_WORDS = (
    r"(?:(?:exited|failed|finished|completed|terminated) with (?:exit )?(?:code|status)|exited with"
    r"|(?:exit|return)[ _]?(?:code|status))"
)
_EXIT_HEAD = re.compile(
    r"(?:(?:chunk id|wall time|total output lines|command|directory)\b[^\n]{0,200}\n){0,4}"
    r"(?:command executed[^\n]{0,200}?\. )?"
    r"(?P<marker>(?:(?:the )?(?:command|process|shell|script) )?"
    rf"(?:<(?:returncode|exit_?code)>|{_EXIT_WORDS}:?) ?(?P<code>-?\d{{1,10}}))\b"
    r"(?=[.,:;)\] ]*(?:\n|\Z|</))",
    re.IGNORECASE,
)
_EXIT_TAIL = re.compile(
    r"(?<![\w'\"`])(?P<marker>(?:(?:command|process|shell|script|program) )?"
    rf"{_EXIT_WORDS}[ :=]{{1,3}}(?P<code>-?\d{{1,10}}))[\s.)\]]*"
    r"(?:\n(?:signal|background pids|process group pgid|wall time|duration)\b[^\n]{0,80}\s*){0,4}\Z",
    re.IGNORECASE,
)
_EXIT_HINTS = ("code", "status", "exited with")

# Programs whose exit code 1 is an answer (nothing found, they differ) ...
ANSWERING = frozenset(
    ("grep", "egrep", "fgrep", "zgrep", "rg", "ag", "ack", "pgrep", "git grep", "diff", "cmp", "git diff", "test", "[")
)
# ... and programs and tools that show what somebody else wrote: a long result of theirs is not searched for words.
SHOWING = ANSWERING | frozenset(
    ("cat", "bat", "head", "tail", "less", "more", "nl", "sed", "awk", "jq", "find", "ls", "git show", "git log")
)
SHOWING_TOOL = re.compile(
    r"(?:^|[^A-Za-z])(?i:read|view|cat|grep|glob|search|fetch|show|open)(?![a-z]|_(?:and_)?replace)"
    r"|(?<=[a-z])(?:Read|View|Grep|Glob|Search|Fetch|Show|Open)(?![a-z])"
)
_COMMANDS = ("command", "cmd", "script")
_SHELLS = frozenset(("bash", "sh", "zsh", "dash", "/bin/bash", "/bin/sh", "/bin/zsh"))
# A failure before && keeps the last command from running; these do not fail with 1 in silence.
_HARMLESS = frozenset(("cd", "export", "source", "set"))
_SEPARATORS = frozenset(("&&", "||", "|", ";", "&", "\n"))
# Of a shell's line: what is quoted, redirections, separators, and all else up to the next of these.
_WORDS = re.compile(
    r"""\"(?:[^\"\\]|\\.)*\"|'[^']*'|\d?[<>]&[\d-]|&>|&&|\|\||[|;&\n]|(?:[^\s\"'|;&<>\\]|\\.)+""", re.DOTALL
)
_LONGEST_COMMAND = 1000


# Request --------------------------------------------------------------------------------------------------------------

T = TypeVar("T")
_ABSENT = msgspec.Raw(b"")
_RESULT_ROLES, _FEW = ("tool", "function"), 8


class _Message(msgspec.Struct, gc=False):
    """A message whose long fields are left as they are until somebody asks: the body is scanned once."""

    role: Any = None
    content: msgspec.Raw = _ABSENT
    tool_calls: msgspec.Raw = _ABSENT
    function_call: msgspec.Raw = _ABSENT
    tool_call_id: Any = None
    is_error: Any = None
    isError: Any = None


class _Named(msgspec.Struct, gc=False):
    name: Any = None


class _Tool(msgspec.Struct, gc=False):
    # In all its shapes: function and custom tools, legacy functions, tools of the vendor's own.
    function: _Named | None = None
    custom: _Named | None = None
    name: Any = None
    type: Any = None


class _Request(msgspec.Struct):
    messages: list[_Message] | None = None
    tools: list[_Tool] | None = None
    functions: list[_Tool] | None = None


class _Loose(msgspec.Struct):
    # The same where something has another shape than it should.
    messages: msgspec.Raw = _ABSENT
    tools: msgspec.Raw = _ABSENT
    functions: msgspec.Raw = _ABSENT


_request = msgspec.json.Decoder(_Request)
_loose = msgspec.json.Decoder(_Loose)
_message = msgspec.json.Decoder(_Message)
_tool = msgspec.json.Decoder(_Tool)
_list = msgspec.json.Decoder(list[msgspec.Raw])
_any = msgspec.json.Decoder()
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Call(NamedTuple):
    id: str
    tool: str
    arguments: Any = None
    readable: bool = True
    """The arguments are a JSON object, or free text where the tool wants that."""


def judged(body: bytes) -> tuple[Judged, ...]:
    """The calls of the last assistant message, in order; () where it made none, or nothing follows it yet.

    Over a session each call is judged once: its results first travel in the request that follows the answer that
    called, and there that answer is the last assistant message; in every later request a newer answer is. A request
    sent again, or one after an answer that got lost, tells the same once more: the ids say so. (A call whose agent puts
    an assistant message of its own behind the results is not judged at all.) Never raises.
    """
    if b'"tool_calls"' not in body and b'"function_call"' not in body:
        return ()
    request = _read(body)
    messages = request.messages or []
    last = next((place for place in range(len(messages) - 1, -1, -1) if messages[place].role == "assistant"), None)
    if last is None or not any(isinstance(message.role, str) for message in messages[last + 1 :]):
        return ()
    calls = _calls(messages[last], last)[:MOST_CALLS]
    if not calls:
        return ()
    offered = _offered(request)
    failed = _failed_before(messages[:last], {call.tool for call in calls}, offered)
    return tuple(
        Judged(call.id[:LONGEST_NAME], call.tool[:LONGEST_NAME], *_judge(call, result, offered), call.tool in failed)
        for call, result in _answered(calls, messages[last + 1 :])
    )


def turns(body: bytes) -> list[Turn]:
    """The conversation as turns, oldest first. A turn failed when a tool result that followed it says so."""
    found: list[Turn] = []
    made = _Message()
    for message in _read(body).messages or ():
        if message.role == "assistant":
            found.append(Turn())
            made = message
        elif message.role in _RESULT_ROLES and found and not found[-1].failed:
            # What is known of the call can only excuse: it is read where there is something to excuse.
            if (told := _told(Call("", ""), message)) is not OK:
                called = (call for call in _calls(made, 0) if call.id == message.tool_call_id)
                told = _told(next(called, Call("", "")), message)
            found[-1] = Turn(failed=told is not OK, evidence=told.evidence)
    return found


def text_of(content: Any, between: str = "") -> str:
    """The text of a message's content, be it a string or a list of parts."""
    if isinstance(content, list):
        texts = (part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str))
        return between.join(texts)
    return content if isinstance(content, str) else ""


def _read(body: bytes) -> _Request:
    if (request := _decoded(_request, body)) is not None:
        return request
    loose = _decoded(_loose, body) or _Loose()
    return _Request(
        [each or _Message() for each in _items(_message, loose.messages)],
        [each for each in _items(_tool, loose.tools) if each],
        [each for each in _items(_tool, loose.functions) if each],
    )


def _items(decoder: msgspec.json.Decoder[T], raw: msgspec.Raw) -> list[T | None]:
    return [_decoded(decoder, item) for item in _decoded(_list, raw) or ()]


def _decoded(decoder: msgspec.json.Decoder[T], data: bytes | msgspec.Raw) -> T | None:
    """None for what cannot be read, even when half a character, where a text was cut inside one, is overlooked."""
    try:
        return decoder.decode(data)
    except msgspec.ValidationError:
        return None
    except (ValueError, RecursionError):
        data = mended(bytes(data))
    try:
        return decoder.decode(data)
    except (ValueError, RecursionError):
        return None


def _value(raw: msgspec.Raw) -> Any:
    return _decoded(_any, raw) if raw is not _ABSENT else None


def _offered(request: _Request) -> frozenset[str]:
    """The names of the tools the model may call. A tool of the vendor's own has its type for a name."""
    tools = (*(request.tools or ()), *(request.functions or ()))
    named = ((tool.function or tool.custom or tool).name or tool.type for tool in tools)
    return frozenset(name for name in named if isinstance(name, str))


def _calls(message: _Message, place: int) -> list[Call]:
    if isinstance(made := _value(message.tool_calls), list) and made:
        return [_call(each, f"{place}.{number}") for number, each in enumerate(made) if isinstance(each, dict)]
    legacy = _value(message.function_call)
    return [_call({"function": legacy}, f"{place}.0")] if isinstance(legacy, dict) else []


def _call(made: dict[str, Any], place: str) -> Call:
    free = made.get("type") == "custom"
    inner = made.get("custom" if free else "function")
    said = inner if isinstance(inner, dict) else {}
    named, id = said.get("name"), made.get("id")
    arguments = None if free else said.get("arguments")
    return Call(
        id=id if isinstance(id, str) and id else place,
        tool=named if isinstance(named, str) else "",
        arguments=arguments,
        readable=_is_object(arguments),
    )


def _is_object(arguments: Any) -> bool:
    """Nothing at all is the empty object: some models call tools without parameters so."""
    if isinstance(arguments, str) and arguments.strip():
        return _decoded(_object, arguments.encode(errors="replace")) is not None
    return arguments is None or isinstance(arguments, dict | str)


def _answered(calls: Sequence[Call], following: Iterable[_Message]) -> Iterator[tuple[Call, _Message | None]]:
    """Each call with its result: the next with its id, or the next without any."""
    named: dict[str, deque[_Message]] = {}
    for message in following:
        if message.role in _RESULT_ROLES:
            id = message.tool_call_id
            named.setdefault(id if isinstance(id, str) else "", deque()).append(message)
    nameless = named.pop("", deque())
    for call in calls:
        results = named.get(call.id) or nameless
        yield call, results.popleft() if results else None


def _failed_before(messages: Sequence[_Message], tools: set[str], offered: frozenset[str]) -> set[str]:
    """Those of the tools whose last result was a failure. Reads backwards, as far as it must."""
    failed: set[str] = set()
    wanted = {tool: msgspec.json.encode(tool)[1:-1] for tool in tools}
    following: list[_Message] = []
    for place in range(len(messages) - 1, -1, -1):
        message = messages[place]
        if message.role in _RESULT_ROLES:
            following.append(message)
        elif message.role == "assistant":
            calls = _calls(message, place) if following and _may_call(message, wanted.values()) else []
            for call, result in reversed(list(_answered(calls, reversed(following)))):
                if call.tool in wanted and result is not None:
                    del wanted[call.tool]
                    if _judge(call, result, offered).verdict != "ok":
                        failed.add(call.tool)
            following = []
        if not wanted:
            break
    return failed


def _may_call(message: _Message, names: Collection[bytes]) -> bool:
    """Without decoding the calls: is one of the names in them, or something that is spelled with escapes?"""
    raw = bytes(message.tool_calls) or bytes(message.function_call)
    return len(names) > _FEW or b"\\u" in raw or any(name in raw for name in names)


# Result ---------------------------------------------------------------------------------------------------------------


class _Fields(msgspec.Struct):
    """What a result that is a JSON object may say about itself."""

    is_error: Any = None
    isError: Any = None
    success: Any = None
    ok: Any = None
    error: Any = None
    message: Any = None
    exit_code: Any = None
    exitCode: Any = None
    returncode: Any = None
    metadata: Any = None


_fields = msgspec.json.Decoder(_Fields)
# The marker that shows in the evidence, by the field and the value that make a failure of it.
_FLAGS: tuple[tuple[str, bool], ...] = (("is_error", True), ("isError", True), ("success", False), ("ok", False))


class _Said(NamedTuple):
    """A result, made ready to be judged. ``flag``: what the agent said beside the content, if anything."""

    text: str
    flag: bool | None
    fields: _Fields | None


def _judge(call: Call, result: _Message | None, offered: frozenset[str]) -> Finding:
    """What the call itself tells comes first: an agent that mends it does not make it a good call."""
    if offered and call.tool not in offered:
        return NOT_OFFERED
    if not call.readable:
        return NOT_AN_OBJECT
    return NO_RESULT if result is None else _told(call, result)


def _told(call: Call, result: _Message) -> Finding:
    said = _said(result)
    for read in (_by_flag, _by_exit_code, _by_words):
        if found := read(said, call):
            return found if found is OK else Finding(found.verdict, found.evidence[:80])
    return OK


def _said(result: _Message) -> _Said:
    content = _value(result.content)
    flags = [result.is_error, result.isError]
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict):
            flags += (part.get("is_error"), part.get("isError"))
    given = [flag for flag in flags if isinstance(flag, bool)]
    text = _unwrapped(text_of(content, "\n"))
    fields = _decoded(_fields, text.encode(errors="replace")) if text.startswith("{") else None
    return _Said(text, any(given) if given else None, fields)


_OPENED = re.compile(rf"\s*<({'|'.join(WRAPPERS)})>")
_CLOSED = re.compile(rf"</({'|'.join(WRAPPERS)})>\Z")


def _unwrapped(text: str) -> str:
    """Without the blocks an agent put before and behind it. Works on places, as there may be very many blocks."""
    text = text.strip()
    start, end = 0, len(text)
    if not text.startswith("<") and not text.endswith(">"):
        return text
    while opened := _OPENED.match(text, start, end):
        close = text.find(f"</{opened[1]}>", opened.end(), end)
        if close < 0:
            break
        start = close + len(opened[1]) + 3
    while closed := _CLOSED.search(text, max(start, end - 64), end):
        begun = text.rfind(f"<{closed[1]}>", start, closed.start())
        if begun < 0:
            break
        end = _trimmed(text, start, begun)
    return text[start:end].lstrip()


def _trimmed(text: str, start: int, end: int) -> int:
    while end > start and text[end - 1].isspace():
        end -= 1
    return end


def _by_flag(said: _Said, call: Call) -> Finding | None:
    """1. Beside the content. 2. In it, where it is an object."""
    if said.flag:
        return _kind(said.text, call) or Finding("error", "is_error: true")
    if said.fields is None or _is_shown(said, call):
        return None
    fields = said.fields
    told = next((f'"{name}": {str(bad).lower()}' for name, bad in _FLAGS if getattr(fields, name) is bad), None)
    if not told and (not fields.error or fields.success is True or fields.ok is True):
        return None
    error = fields.error if isinstance(fields.error, dict) else {}
    words = next((each for each in (error.get("message"), fields.error, fields.message) if isinstance(each, str)), "")
    code = error.get("code")
    by_code = RPC_CODES.get(code) if isinstance(code, int) else None
    return (
        _kind(words, call)
        or (by_code and Finding(by_code, f"error code {code}"))
        or Finding("error", told or '"error": not null')
    )


def _by_exit_code(said: _Said, call: Call) -> Finding | None:
    code, marker = _exit_code(said, call)
    if code is None or (code == 1 and _last_program(call) in ANSWERING):
        return None
    return Finding("error", marker) if code else OK


def _exit_code(said: _Said, call: Call) -> tuple[int | None, str]:
    """1. A field. 2. Before the output. 3. After it, unless that is the end of a file somebody wrote."""
    if said.fields is not None:
        inner = said.fields.metadata if isinstance(said.fields.metadata, dict) else {}
        given = (said.fields.exit_code, said.fields.exitCode, said.fields.returncode, inner.get("exit_code"))
        code = next((each for each in given if isinstance(each, int) and not isinstance(each, bool)), None)
        return code, f"exit code {code}"
    told = _EXIT_HEAD.match(said.text[: 2 * ENDS])
    if told is None and not _shows(said, call):
        # Looking for its words first is ten times faster. Counted from the end: lower() may make a text longer.
        tail = said.text[-ENDS:]
        lower = tail.lower()
        hint = max(map(lower.rfind, _EXIT_HINTS))
        told = _EXIT_TAIL.search(tail, max(0, len(tail) - len(lower) + hint - 60)) if hint >= 0 else None
    return (int(told["code"]), told["marker"].strip()) if told else (None, "")


def _by_words(said: _Said, call: Call) -> Finding | None:
    """Nothing where the result was readable as an object or was flagged as good: it has said what it had to say."""
    if said.fields is not None or said.flag is False or not said.text:
        return None
    found = _kind(said.text, call) or _matched("head", said.text[:ENDS])
    if not found and len(said.text) <= ENDS:
        found = _matched("whole", said.text)
    if not found:
        lines = _last_lines(said.text)
        found = next(filter(None, (_matched("tail", line) for line in lines)), None)
        found = found or (_matched("last", lines[-1]) if lines else None)
    return found if found and not _is_shown(said, call) else None


def _last_lines(text: str) -> list[str]:
    """Whole lines: where the tail begins inside one, that is left out."""
    lines = text[-ENDS:].rsplit("\n", LAST_LINES)
    whole = len(text) <= ENDS and len(lines) <= LAST_LINES
    return [line.strip() for line in (lines if whole else lines[1:])]


def _compiled(verdict: Verdict, place: Place) -> re.Pattern[str]:
    # A name may stand once in a pattern: each row's marker gets a number of its own.
    rows = (row.replace("<marker>", f"<marker{number}>") for number, row in enumerate(SIGNS[verdict, place]))
    return re.compile("|".join(f"(?:{row})" for row in rows), re.IGNORECASE)


_UNKNOWN = _compiled("unknown_tool", "head")
_INVALID = _compiled("invalid_args", "head")
_FAILED: dict[Place, re.Pattern[str]] = {
    place: _compiled("error", place) for place in ("head", "whole", "tail", "last")
}
_PREFIX = re.compile(rf"\s*(?:{'|'.join(PREFIXES)})\s*", re.IGNORECASE)


def _matched(place: Place, text: str) -> Finding | None:
    if not (match := _FAILED[place].match(text)):
        return None
    marker = next((group for group in match.groups() if group), match[0])
    return Finding("error", marker.strip())


def _kind(text: str, call: Call) -> Finding | None:
    """Is it the call's own fault? Looked for behind the words that only say that something failed."""
    head, at = text[:ENDS], 0
    for _ in range(MOST_PREFIXES):
        if match := _UNKNOWN.match(head, at):
            named = match["named"]
            # A program or a thing of the user's that was not found is a failure like any other.
            ours = named is None or not call.tool or named == call.tool
            return Finding("unknown_tool" if ours else "error", match[0].strip())
        if match := _INVALID.match(head, at):
            return Finding("invalid_args", match[0].strip())
        if not (prefix := _PREFIX.match(head, at)):
            break
        at = prefix.end()
    return None


# Command --------------------------------------------------------------------------------------------------------------


def _is_shown(said: _Said, call: Call) -> bool:
    """A long text that somebody else wrote. A short one from the same tool may well be its complaint."""
    return len(said.text) > ENDS and (_shows(said, call) or _last_program(call) in SHOWING)


def _shows(said: _Said, call: Call) -> bool:
    return len(said.text) > ENDS and SHOWING_TOOL.search(call.tool) is not None


def _last_program(call: Call) -> str:
    """The program whose exit code a shell call has; empty where that cannot be told for certain."""
    command = _command(call.arguments)
    if not command or len(command) > _LONGEST_COMMAND:
        return ""
    program = ""
    for word in _WORDS.findall(command):
        if word == "&&" and program not in _HARMLESS:
            return ""
        if word in _SEPARATORS:
            program = ""
        elif not program and "=" not in word:
            program = word.rsplit("/", 1)[-1]
        elif program == "git" and not word.startswith("-"):
            program = f"git {word}"
    return program


def _command(arguments: Any) -> str:
    given = _decoded(_any, arguments.encode(errors="replace")) if isinstance(arguments, str) else arguments
    fields: dict[str, Any] = given if isinstance(given, dict) else {}
    for name in _COMMANDS:
        command = fields.get(name)
        if isinstance(command, list) and all(isinstance(word, str) for word in command):
            return command[-1] if command[:1] and command[0] in _SHELLS else shlex.join(command)
        if isinstance(command, str):
            return command
    return ""
