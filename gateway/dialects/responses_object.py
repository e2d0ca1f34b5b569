"""The Response object and its items: https://developers.openai.com/api/docs/api-reference/responses/object

All keys are there, nulls included: SDKs of several languages read them strictly. What the client asked for is told back
in its own bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from gateway.chat import FinishReason, Reasoning, Usage
from gateway.dialects.free_text import text_in
from gateway.dialects.marks import marked
from gateway.dialects.mending import mended
from gateway.dialects.responses_tools import ACTIONS, Known, Toolbox, action_of, toolbox

Item = dict[str, Any]
OURS = "rs_skein_"
"""How the ids of thoughts begin that are not OpenAI's."""

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


def response_id(exchange_id: str) -> str:
    return f"resp_{exchange_id}"


def item_id(prefix: str, answer_id: str, index: int) -> str:
    """The same every time, and unlike those of other answers; at most 64 characters, as OpenAI wants them."""
    return prefix + hashlib.sha256(f"{answer_id}.{index}".encode()).hexdigest()[:32]


# The request told back ------------------------------------------------------------------------------------------------

_TOLD: Mapping[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "prompt_cache_retention": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}, "verbosity": "medium"},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
"""What an answer says of its request, and what it says where the request does not."""
_BRINGS_TOOLS = (b'"additional_tools"', b'"tool_search_output"')


class Asked:
    """The request, as far as the answer speaks of it. What cannot be read is as if it were not there."""

    def __init__(self, body: bytes) -> None:
        self._said = _read(body)

    def told(self) -> dict[str, Any]:
        told = dict(_TOLD)
        for name, usual in _TOLD.items():
            said = self._said.get(name)
            if said is None or bytes(said) == b"null":
                continue
            if name in ("reasoning", "text") and bytes(said).startswith(b"{"):
                said = _encoded({**usual, **_fields.decode(said)})
            told[name] = _on_one_line(said)
        return told

    def tools(self) -> Toolbox:
        """What each name that a model may call stands for."""
        given = _list(self._said.get("tools"))
        later = self._said.get("input")
        if later is not None and any(name in bytes(later) for name in _BRINGS_TOOLS):
            for item in _list(later):
                if isinstance(item, dict) and item.get("type") in ("additional_tools", "tool_search_output"):
                    brought = item.get("tools")
                    given += brought if isinstance(brought, list) else []
        return toolbox(given)


def _read(body: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _fields.decode(body)
    except (ValueError, RecursionError):
        try:
            return _fields.decode(mended(body))
        except (ValueError, RecursionError):
            return {}


def _list(raw: msgspec.Raw | None) -> list[Any]:
    try:
        said = msgspec.json.decode(raw) if raw is not None else None
    except (ValueError, RecursionError):
        return []
    return said if isinstance(said, list) else []


def _encoded(said: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(said))


def _on_one_line(raw: msgspec.Raw) -> msgspec.Raw:
    """A line break would end the event."""
    said = bytes(raw)
    return raw if b"\n" not in said and b"\r" not in said else msgspec.Raw(msgspec.json.format(said, indent=-1))


# The answer -----------------------------------------------------------------------------------------------------------

_CUT: Mapping[FinishReason | None, str] = {"length": "max_output_tokens", "content_filter": "content_filter"}


def status_of(reason: FinishReason | None) -> str:
    return "incomplete" if reason in _CUT else "completed"


def response_object(
    *,
    id: str,
    created: int,
    model: str,
    told: Mapping[str, Any],
    status: str,
    output: Sequence[Item] = (),
    usage: Mapping[str, Any] | None = None,
    reason: FinishReason | None = None,
    error: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    return {
        "id": id,
        "object": "response",
        "created_at": created,
        "status": status,
        "background": False,
        "completed_at": None,
        "conversation": None,
        "error": error,
        "incomplete_details": {"reason": _CUT[reason]} if reason in _CUT else None,
        "model": model,
        "output": output,
        "prompt": None,
        # Clients of SDKs that are too old to know the field read it all the same (pydantic-ai 2.68 with openai 2.54).
        "prompt_cache_diagnostics": None,
        **told,
        "usage": usage,
    }


def unasked() -> Mapping[str, Any]:
    """For an answer whose request is not at hand."""
    return _TOLD


def usage_of(usage: Usage, cost: float | None = None) -> dict[str, Any]:
    said: dict[str, Any] = {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
    if cost is not None:
        said["cost"] = cost
    return said


# Items ----------------------------------------------------------------------------------------------------------------


def text_part(text: str, logprobs: Any = None) -> Item:
    return {"type": "output_text", "annotations": [], "logprobs": logprobs or [], "text": text}


def refusal_part(text: str) -> Item:
    return {"type": "refusal", "refusal": text}


def message_item(id: str, content: list[Item], status: str) -> Item:
    return {"id": id, "type": "message", "status": status, "content": content, "role": "assistant"}


def summary_part(text: str) -> Item:
    return {"type": "summary_text", "text": text}


def reasoning_item(id: str, text: str, sealed: str | None) -> Item:
    return {
        "id": id,
        "type": "reasoning",
        "encrypted_content": sealed,
        "summary": [summary_part(text)] if text else [],
    }


def sealed_of(thought: Reasoning) -> str:
    """What the client sends back with it: OpenAI's own as they are, another's marked, nobody's marked as nobody's."""
    if thought.format == "openai" and thought.opaque and not thought.signature:
        return thought.opaque
    if not (thought.signature or thought.opaque):
        return marked(Reasoning())
    return marked(thought)


_PREFIXES: Mapping[str, str] = {
    "function": "fc_",
    "custom": "ctc_",
    "local_shell": "lsh_",
    "shell": "sh_",
    "apply_patch": "apc_",
    "tool_search": "tsc_",
}


def call_item_id(known: Known, answer_id: str, index: int) -> str:
    return item_id(_PREFIXES[known.kind], answer_id, index)


def call_item(known: Known, id: str, call_id: str, arguments: str, status: str) -> Item:
    """A call of a tool as the client knows it; an action that cannot be read is told as a function's call."""
    namespace = {"namespace": known.namespace} if known.namespace else {}
    if known.kind == "custom":
        said = {"call_id": call_id, "input": text_in(arguments), "name": known.name}
        return {"id": id, "type": "custom_tool_call", "status": status, **said, **namespace}
    if known.kind in ACTIONS and (action := action_of(known, arguments)) is not None:
        return {"id": id, "type": f"{known.kind}_call", "status": status, "call_id": call_id, **action}
    said = {"arguments": arguments or "{}", "call_id": call_id, "name": known.name}
    return {"id": id, "type": "function_call", "status": status, **said, **namespace}
