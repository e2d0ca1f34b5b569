"""The tools of OpenAI's Responses as functions, and what each was: https://developers.openai.com/api/docs/guides/tools

A model that is not OpenAI's has functions alone. Free text becomes the one argument of a function, a tool of a
namespace gets a name with the namespace in it, and the tools that OpenAI's models know but the client runs itself
(shells, patches) get the parameters of their actions. What OpenAI runs itself nobody else can.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from gateway.chat import Tool
from gateway.dialects.openai_parts import Fields, text_in, wrong
from gateway.dialects.openai_request import MOST_TOOLS
from gateway.errors import CallerError

Kind = Literal["function", "custom", "local_shell", "shell", "apply_patch", "tool_search"]


class Known(NamedTuple):
    """A tool as the client offered it. ``hub`` is the function it has become."""

    hub: Tool
    kind: Kind
    name: str
    namespace: str | None = None


# Names ----------------------------------------------------------------------------------------------------------------

_LONGEST = 64
_ILLEGAL = re.compile(r"[^A-Za-z0-9_-]")


def full_name(namespace: Any, name: str) -> str:
    """One name for a tool of a namespace, such as every vendor takes."""
    if not isinstance(namespace, str) or not namespace:
        return name
    between = "" if namespace.endswith("__") else "__"
    said = _ILLEGAL.sub("_", f"{namespace}{between}{name}")
    return said if len(said) <= _LONGEST else f"{said[: _LONGEST - 9]}_{_digest(f'{namespace} {name}')}"


def _digest(said: str) -> str:
    return hashlib.sha256(said.encode(errors="replace")).hexdigest()[:8]


class Toolbox:
    """All tools on offer, by the names they have in the hub and by those the client knows them by."""

    def __init__(self, tools: Iterable[Known] = ()) -> None:
        self._by_name: dict[str, Known] = {}
        self._by_client: dict[tuple[str | None, str], str] = {}
        for each in tools:
            self.add(each)

    def add(self, known: Known) -> None:
        """A tool whose name in the hub another has already gets one of its own; one that is there again is left out."""
        key = (known.namespace, known.name)
        if key in self._by_client:
            return
        name = known.hub.name
        if name in self._by_name:
            name = f"{name[: _LONGEST - 9]}_{_digest(f'{known.kind} {known.namespace} {known.name}')}"
            known = known._replace(hub=msgspec.structs.replace(known.hub, name=name))
        self._by_name[name] = known
        self._by_client[key] = name

    @property
    def tools(self) -> tuple[Tool, ...]:
        return tuple(each.hub for each in self._by_name.values())

    def hub_name(self, namespace: Any, name: str) -> str:
        """What the hub calls a tool that the client names so."""
        key = (namespace if isinstance(namespace, str) and namespace else None, name)
        return self._by_client.get(key) or full_name(namespace, name)

    def called(self, name: str) -> Known:
        """What a model means by a name: a tool on offer, or a function nobody knows."""
        return self._by_name.get(name) or Known(Tool(name), "function", name)


# Tools read -----------------------------------------------------------------------------------------------------------


class Reader:
    """Reads lists of tools; what is none for the hub goes into ``extra`` by its place."""

    def __init__(self, extra: Fields) -> None:
        self.box = Toolbox()
        self._extra, self._count = extra, 0

    def read(self, tools: list[Any], where: str) -> None:
        """Raises ``CallerError`` (400)."""
        for place, said in enumerate(tools):
            self._tool(said, f"{where}[{place}]")

    def _tool(self, said: Any, where: str, namespace: str | None = None, about: str = "") -> None:
        if not isinstance(said, dict):
            raise wrong(where, "an object", said)
        self._count += 1
        if self._count > MOST_TOOLS:
            raise CallerError(400, "too_many_tools", f"tools: more than {MOST_TOOLS}", param="tools")
        kind = said.get("type", "function")
        if kind == "namespace" and namespace is None:
            self._namespace(said, where)
        elif kind in ("function", "custom"):
            made = _function(said, where) if kind == "function" else _custom(said, where)
            self._leave(said, where, _READ[kind])
            self._add(made, kind, namespace, about)
        elif isinstance(kind, str) and kind in ACTIONS and _is_run_by_client(said):
            self.box.add(Known(_described(ACTIONS[kind].tool, said), ACTIONS[kind].kind, kind))
        else:
            self._extra[where] = said

    def _namespace(self, said: Fields, where: str) -> None:
        name, tools, about = text_in(said, "name", where), said.get("tools"), said.get("description")
        if not isinstance(tools, list):
            raise wrong(f"{where}.tools", "an array", tools)
        self._leave(said, where, _READ["namespace"])
        for place, each in enumerate(tools):
            self._tool(each, f"{where}.tools[{place}]", name, about if isinstance(about, str) else "")

    def _add(self, tool: Tool, kind: Kind, namespace: str | None, about: str) -> None:
        known = Known(tool, kind, tool.name, namespace)
        if namespace is not None:
            description = "\n\n".join(filter(None, (about, tool.description)))
            hub = msgspec.structs.replace(tool, name=full_name(namespace, tool.name), description=description or None)
            known = known._replace(hub=hub)
        self.box.add(known)

    def _leave(self, said: Fields, where: str, read: frozenset[str]) -> None:
        left = {f"{where}.{key}": value for key, value in said.items() if key not in read and value}
        self._extra.update({key: value for key, value in left.items() if value != ["direct"]})


_READ: Mapping[str, frozenset[str]] = {
    "function": frozenset(("type", "function", "name", "description", "parameters", "strict")),
    "custom": frozenset(("type", "name", "description")),
    "namespace": frozenset(("type", "name", "description", "tools")),
}


def toolbox(tools: list[Any]) -> Toolbox:
    """Of a request that was read before; nothing is raised."""
    reader = Reader({})
    for each in tools:
        try:
            reader.read([each], "tools")
        except CallerError:
            continue
    return reader.box


def _function(said: Fields, where: str) -> Tool:
    inner = said.get("function")
    if isinstance(inner, dict) and "name" not in said:
        # As chat completions have it.
        said, where = inner, f"{where}.function"
    parameters, strict = said.get("parameters"), said.get("strict")
    if not isinstance(parameters, dict | None):
        raise wrong(f"{where}.parameters", "an object", parameters)
    strict = strict if isinstance(strict, bool) else None
    return Tool(text_in(said, "name", where), _text(said.get("description")), parameters, strict)


def _custom(said: Fields, where: str) -> Tool:
    """Its free text is the one argument; a grammar is told in words, for nothing enforces it."""
    form = said.get("format")
    field = {"type": "string", "description": "Free text, as it is: no JSON."}
    if isinstance(form, dict) and isinstance(definition := form.get("definition"), str):
        syntax = "Lark grammar" if form.get("syntax") == "lark" else "regular expression"
        field["description"] = f"Free text that matches this {syntax}:\n{definition}"
    schema = {"type": "object", "properties": {"input": field}, "required": ["input"], "additionalProperties": False}
    return Tool(text_in(said, "name", where), _text(said.get("description")), schema)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _described(tool: Tool, said: Fields) -> Tool:
    """With the client's own words, where it may choose them."""
    parameters = said.get("parameters")
    return msgspec.structs.replace(
        tool,
        description=_text(said.get("description")) or tool.description,
        parameters=parameters if isinstance(parameters, dict) else tool.parameters,
    )


def _is_run_by_client(said: Fields) -> bool:
    """A shell in a container of OpenAI's, and a search of the tools by OpenAI, are not."""
    environment = said.get("environment")
    elsewhere = isinstance(environment, dict) and environment.get("type") != "local"
    return not elsewhere and (said["type"] != "tool_search" or said.get("execution") == "client")


# Tools that OpenAI's models know and the client runs ------------------------------------------------------------------


class Action(NamedTuple):
    """``fields``: what a call's item says, from its arguments; ``arguments``: the other way."""

    kind: Kind
    tool: Tool
    fields: Callable[[Fields], Fields]
    arguments: Callable[[Fields], Any]


def _schema(required: str, **properties: Fields) -> Fields:
    return {"type": "object", "properties": properties, "required": required.split(), "additionalProperties": False}


_STRING, _WHOLE = {"type": "string"}, {"type": "integer"}
_STRINGS = {"type": "array", "items": _STRING}

_LOCAL_SHELL = Tool(
    "local_shell",
    "Runs a command on the user's machine.",
    _schema("command", command=_STRINGS, working_directory=_STRING, timeout_ms=_WHOLE),
)
_SHELL = Tool(
    "shell",
    "Runs shell commands, one after the other, and returns what they print and their exit codes.",
    _schema("commands", commands=_STRINGS, timeout_ms=_WHOLE, max_output_length=_WHOLE),
)
_APPLY_PATCH = Tool(
    "apply_patch",
    "Creates, updates or deletes one file. The diff is in V4A format; a new file's has a plus before each line.",
    _schema(
        "type path",
        type={"type": "string", "enum": ["create_file", "update_file", "delete_file"]},
        path=_STRING,
        diff=_STRING,
    ),
)
_TOOL_SEARCH = Tool("tool_search", "Finds more tools.", _schema("query", query=_STRING))


def _within(key: str, *besides: str) -> Callable[[Fields], Any]:
    """The object under a key, without what it does not say."""

    def read(item: Fields) -> Any:
        said = item.get(key)
        if not isinstance(said, dict):
            return said
        return {name: value for name, value in said.items() if value not in (None, {}) and name not in besides}

    return read


ACTIONS: Mapping[str, Action] = {
    "local_shell": Action(
        "local_shell",
        _LOCAL_SHELL,
        lambda said: {"action": {"type": "exec", "env": {}, **said}},
        _within("action", "type"),
    ),
    "shell": Action(
        "shell",
        _SHELL,
        lambda said: {
            "action": {"timeout_ms": None, "max_output_length": None, **said},
            "environment": None,
        },
        _within("action"),
    ),
    "apply_patch": Action("apply_patch", _APPLY_PATCH, lambda said: {"operation": said}, _within("operation")),
    "tool_search": Action(
        "tool_search",
        _TOOL_SEARCH,
        lambda said: {"arguments": said, "execution": "client"},
        _within("arguments"),
    ),
}
"""By the type of the tool; its calls are items of type ``<type>_call``, their results ``<type>_call_output``."""


def action_of(known: Known, arguments: str) -> Fields | None:
    """What a call's item says of the action; None where the arguments have not what it needs."""
    try:
        said = msgspec.json.decode(arguments or "{}")
    except (ValueError, RecursionError):
        return None
    action = ACTIONS[known.kind]
    needed = (action.tool.parameters or {})["required"] if known.kind != "tool_search" else ()
    if not isinstance(said, dict) or any(key not in said for key in needed):
        return None
    return action.fields(said)
