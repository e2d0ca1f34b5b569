"""How agents say that a tool call came to nothing. To teach it another agent's words, add a row to ``SIGNS``."""

from __future__ import annotations

import re
from typing import Any, Literal

Verdict = Literal["ok", "error", "invalid_args", "unknown_tool", "unanswered"]
Place = Literal["head", "whole", "tail", "last"]
"""Where words count: how a result begins; the same, of a short result; one of its last lines; its last line."""

ENDS = 400
"""Characters of a result's head, of its tail, and the most a short result has."""
LAST_LINES = 4  # a tail's
_NAME = r"[\w.:/-]{1,64}"
_TIMED_OUT = (
    r"(?:the |your )?(?:\w{1,20} )?(?P<marker>(?:command|tool|request|operation|process|call|execution) timed out)\b"
)
_THROWN = r"(?P<thrown>[a-z_][\w.]{0,60}(?:Error|Exception))"


# Matched without regard to case where a line begins. What a pattern matches is shown or, where it has such groups, what
# ``marker`` and ``more`` match: words of the row, never a tool's own text. ``thrown`` holds an exception's class,
# which is shown where ``EXCEPTIONS`` has it; ``named`` a tool's name, which tells if that was the one called.
SIGNS: dict[tuple[Verdict, Place], tuple[str, ...]] = {
    # The tool does not exist. Looked for before the arguments: opencode calls those invalid when the tool is unknown.
    ("unknown_tool", "head"): (
        r"(?:the arguments provided to the tool are invalid: )?model tried to call unavailable tool",
        r"(?:unknown|unsupported|unregistered|unrecognized) (?:tool|function|call)\b",
        r"no such (?:tool|function)\b|\w{0,20}(?P<marker>NoSuchToolError)\b|no tool named\b",
        rf"(?:the )?(?P<marker>tool|function)\W{{1,3}}(?P<named>{_NAME}?)\W{{1,3}}(?:(?:was|is|does) )?"
        r"(?P<more>not (?:found|exist|available|registered|recognized|supported)|unavailable)\b",
        rf"{_NAME} (?P<marker>is not a valid tool)\b",
    ),
    # The arguments do not fit, as said by Rust (serde), zod, pydantic, JSON Schema (ajv), Python's own call, agents.
    ("invalid_args", "head"): (
        r"(?:invalid|malformed|bad) (?:(?:tool|function|call|input) ){0,2}(?:arguments?|args|parameters?|params)\b",
        r"InputValidationError|ZodError\b|invalid input(?::| for tool\b)|\d{1,4} validation errors?\b",
        r"(?:input|schema|type|arguments?|parameters?) validation (?:error|failed)\b",
        r"missing (?:(?:value for )?required )?(?:field|arguments?|parameters?|propert(?:y|ies))\b",
        r"(?P<marker>required (?:field|argument|parameter|property))\W{1,3}[\w.]{1,64}\W{1,3}(?:is |was )?"
        r"(?P<more>missing|not provided)",
        r"(?:params|input|arguments) must (?:have|be|match|not)\b|must have required property\b",
        r"(?:unknown|unexpected) (?:field|argument|parameter|property)\b",
        r"(?:failed to|could not|cannot|unable to) (?:deserialize|parse|decode|interpret) "
        r"(?:(?:the|tool|function|call|use|input) ){0,3}(?:parameters|arguments|params)\b",
        rf"(?:the )?{_NAME} (?P<marker>tool was called with invalid arguments)",
        r"the arguments provided to the tool are invalid|received tool input did not match",
        rf"(?P<marker>error invoking tool)\W{{1,3}}{_NAME}\W{{1,3}}(?P<more>with kwargs)\b",
        rf"{_NAME}\(\) (?P<marker>got an unexpected keyword argument|missing \d{{1,3}} required)",
        r'\[\s*\{\s*(?P<marker>"(?:code|expected|validation|received|origin)")\s*:\s*"[\w.-]{1,40}"\s*,\s*'
        r'(?P<more>"(?:code|expected|received|values|keys|minimum|validation)")\s*:',
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
        r"(?P<marker>error)(?: \([\w -]{1,40}\))?\s*(?::(?!\s*(?:\(?none\)?|null|0)\s*(?:\n|\Z))|\n|\Z)",
        r"error (?:executing|calling|running|invoking|performing|reading|writing|accessing|editing)\b",
        r"(?P<marker>failed to) [a-z]{2,20}\b",
        r"(?P<marker>apply_patch|exec_command|tool|command|execution)(?: [a-z]{1,20})? (?P<more>failed)\b",
        rf"{_THROWN}: |MCP error\b|npm (?:ERR!|error )|fatal: |panic: ",
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
        r"string to replace not found|old_?str(?:ing)? (?:was )?not found|file has not been read yet",
    ),
    # What ran says how it went: some agents leave out the exit code.
    ("error", "tail"): (
        _TIMED_OUT,
        rf"(?:{_NAME} )?(?P<marker>tool terminated command after exceeding timeout)",
        r"=+ (?:\d{1,6} \w{1,12}, ){0,4}(?P<marker>\d{1,6} (?:failed|errors?))\b[^\n]* in [\d.]+s",
        r"FAILED \((?:failures|errors)=\d{1,6}|error: (?:could not compile|test failed)|npm (?:ERR!|error )",
        r"make(?:\[\d{1,6}\])?: \*\*\* ",
        r"(?-i:FAIL)(?=\t|$)|[\w./-]{1,100}\(\d{1,6},\d{1,6}\): (?P<marker>error TS\d{1,6})\b",  # go, tsc
    ),
    ("error", "last"): (
        r"fix the errors? and try again\.?$",
        rf"{_THROWN}(?=: |$)",
    ),
}

# Of languages and of protocols: a class of anybody's own may be named as its author likes.
EXCEPTIONS = frozenset(
    (
        # Python
        *("ArithmeticError", "AssertionError", "AttributeError", "BlockingIOError", "BrokenPipeError", "BufferError"),
        *("ChildProcessError", "ConnectionAbortedError", "ConnectionError", "ConnectionRefusedError"),
        *("ConnectionResetError", "EOFError", "FileExistsError", "FileNotFoundError", "ImportError"),
        *("IndentationError", "IndexError", "InterruptedError", "IsADirectoryError", "JSONDecodeError", "KeyError"),
        *("LookupError", "MemoryError", "ModuleNotFoundError", "NameError", "NotADirectoryError"),
        *("NotImplementedError", "OSError", "OverflowError", "PermissionError", "ProcessLookupError"),
        *("RecursionError", "ReferenceError", "RuntimeError", "SyntaxError", "SystemError", "TabError"),
        *("TimeoutError", "TypeError", "UnboundLocalError", "UnicodeDecodeError"),
        *("UnicodeEncodeError", "UnicodeError", "ValidationError", "ValueError", "ZeroDivisionError"),
        # JavaScript
        *("AbortError", "AggregateError", "EvalError", "InternalError", "RangeError", "URIError", "ZodError"),
        # Ruby
        *("ArgumentError", "FrozenError", "IOError", "LoadError", "NoMethodError", "StandardError"),
        # Java and .NET
        *("ArgumentException", "ArgumentNullException", "ArithmeticException", "ArrayIndexOutOfBoundsException"),
        *("ClassCastException", "ClassNotFoundException", "FileNotFoundException", "FormatException", "IOException"),
        *("IllegalArgumentException", "IllegalStateException", "IndexOutOfBoundsException", "InterruptedException"),
        *("InvalidCastException", "InvalidOperationException", "KeyNotFoundException", "NoSuchElementException"),
        *("NoSuchFileException", "NotImplementedException", "NullPointerException", "NullReferenceException"),
        *("NumberFormatException", "OutOfMemoryError", "RuntimeException", "StackOverflowError"),
        *("TimeoutException", "UnsupportedOperationException"),
        # Agents
        *("InputValidationError", "McpError", "NoSuchToolError", "ToolError", "ToolException"),
    )
)
"""Classes that may be shown, without the module before them; of any other only ``Error`` or ``Exception``."""

TAIL_HINTS = ("error", "fail", "timed out", "terminated", "*** ", "npm", "exception", "try again")
"""One of these is in every tail that a row for the tail or the last line matches: looking for words is quicker."""

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

# JSON-RPC's own numbers: https://www.jsonrpc.org/specification#error_object
RPC_CODES: dict[Any, Verdict] = {-32602: "invalid_args", -32601: "unknown_tool"}

# How agents tell a command's exit code before its output (Codex, Claude Code, Roo, mini-swe-agent), or after it.
_EXIT_WORDS = (
    r"(?:(?:exited|failed|finished|completed|terminated) with (?:exit )?(?:code|status)|exited with"
    r"|(?:exit|return)[ _]?(?:code|status))"
)
EXIT_HEAD = re.compile(
    r"(?:(?:chunk id|wall time|total output lines|command|directory)\b[^\n]{0,200}\n){0,4}"
    r"(?:command executed[^\n]{0,200}?\. )?"
    r"(?P<marker>(?:(?:the )?(?:command|process|shell|script) )?"
    rf"(?:<(?:returncode|exit_?code)>|{_EXIT_WORDS}:?) ?(?P<code>-?\d{{1,10}}))\b"
    r"(?=[.,:;)\] ]*(?:\n|\Z|</))",
    re.IGNORECASE,
)
EXIT_TAIL = re.compile(
    r"(?<![\w'\"`])(?P<marker>(?:(?:command|process|shell|script|program) )?"
    rf"{_EXIT_WORDS}[ :=]{{1,3}}(?P<code>-?\d{{1,10}}))[\s.)\]]*"
    r"(?:\n(?:signal|background pids|process group pgid|wall time|duration)\b[^\n]{0,80}\s*){0,4}\Z",
    re.IGNORECASE,
)
EXIT_BEGINS = frozenset("<cdefprstw")
"""The letters with which a head begins that tells an exit code."""
EXIT_HINTS = ("code", "status", "exited with")
EXIT_HINTED = re.compile(r"(?:code|status|exited with)[ :=]{1,3}-?\d")
"""At the last hint of a tail that tells an exit code."""

# Tools that show what somebody else wrote, by their names.
SHOWING_TOOL = re.compile(
    r"(?:^|[^A-Za-z])(?i:read|view|cat|grep|glob|search|fetch|show|open)(?![a-z]|_(?:and_)?replace)"
    r"|(?<=[a-z])(?:Read|View|Grep|Glob|Search|Fetch|Show|Open)(?![a-z])"
)

# What agents put in the place of a call that they could not read: goose.
PLACEHOLDERS = frozenset(("unparseable_tool_call",))
