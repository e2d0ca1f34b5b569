"""Steps by name: every kind of fault, every form of Retry-After, and the cases that broke other gateways."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Callable
from typing import Any

from . import openai_shapes
from .agent import agent_story
from .steps import (
    Answer,
    Close,
    Die,
    DoubleDone,
    InBandError,
    Malformed,
    Named,
    NoDone,
    NoFinish,
    Reset,
    Silent,
    Slow,
    Status,
    Step,
    StepValue,
    ToolCall,
    play,
)

# --- one per kind of fault


def out_of_credit() -> Status:
    """A 429 that no waiting helps."""
    return Status(429, openai_shapes.QUOTA.body(""))


def context_too_long() -> Status:
    return Status(400, openai_shapes.CONTEXT.body(""))


def content_filtered() -> Status:
    """Refused as Azure does it."""
    return Status(400, openai_shapes.FILTERED)


def policy_refused() -> Status:
    """Refused as OpenAI does it."""
    return Status(400, openai_shapes.POLICY.body(""))


def error_as_200(message: str = "The upstream returned nothing.") -> Status:
    return Status(200, openai_shapes.Saying(message, "server_error").body(""))


def html_as_200() -> Status:
    return Status(200, "<!doctype html><html><body>Sign in to continue</body></html>")


# Quick to play: waits are short, silences last until the client gives up. No connection, no step: for timeout_connect
# there is dead_ends.hanging().
FAULTS: dict[str, Callable[[], Step]] = {
    "rate_limited": lambda: rate_limited("retry_after_ms", 0.02),
    "overloaded": lambda: Status(503),
    "server_error": lambda: Status(500),
    "unreachable": lambda: Reset("before_head"),
    "timeout_first_token": lambda: Silent("after_role"),
    "timeout_idle": lambda: Silent("after_output"),
    "timeout_total": lambda: play(Answer(chunks=("drip ",) * 3000), Slow(between=0.1)),
    "bad_credentials": lambda: Status(401),
    "out_of_credit": out_of_credit,
    "model_missing": lambda: Status(404),
    "garbled": html_as_200,
    "broken_stream": lambda: Reset("after_output"),
    "bad_request": lambda: Status(400),
    "context_too_long": context_too_long,
    "refused": content_filtered,
}


def fault(kind: str) -> Step:
    """A fault that is counted under its kind: ``vendor.counts_by_step["rate_limited"]``."""
    step = FAULTS[kind]()
    assert isinstance(step, StepValue)
    assert not isinstance(step, Named)
    return Named(kind, step)


# --- Retry-After

RETRY_AFTER: dict[str, Callable[[float], dict[str, str]]] = {
    "seconds": lambda seconds: {"retry-after": f"{seconds:g}"},
    "http_date": lambda seconds: {"retry-after": email.utils.formatdate(time.time() + seconds, usegmt=True)},
    "retry_after_ms": lambda seconds: {"retry-after-ms": f"{seconds * 1000:g}"},
    "ratelimit_reset": lambda seconds: {
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": f"{seconds:g}s",
    },
    "ratelimit_reset_minutes": lambda seconds: {
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": f"{int(seconds // 60)}m{seconds % 60:g}s",
    },
    "anthropic_reset": lambda seconds: {
        "anthropic-ratelimit-requests-remaining": "0",
        "anthropic-ratelimit-requests-reset": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds)),
    },
    "none": lambda seconds: {},
}
HINTS: dict[str, Callable[[float], dict[str, Any]]] = {
    "body_hint": lambda seconds: openai_shapes.Saying(
        f"Rate limit reached for gpt-4.1 on tokens per min (TPM): Limit 30000. Please try again in {seconds:g}s.",
        "tokens",
        "rate_limit_exceeded",
    ).body(""),
    "google_retry_info": lambda seconds: {
        "error": {
            "code": 429,
            "message": "Resource has been exhausted (e.g. check quota).",
            "status": "RESOURCE_EXHAUSTED",
            "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{seconds:g}s"}],
        }
    },
}


def rate_limited(form: str = "seconds", seconds: float = 1.0) -> Status:
    """A 429 that says when to come back in one of the forms of ``RETRY_AFTER`` and ``HINTS``."""
    if form in HINTS:
        return Status(429, HINTS[form](seconds))
    return Status(429, headers=RETRY_AFTER[form](seconds))


# --- the cases that broke other gateways

TOOLS = (
    ToolCall("shell", {"command": 'printf "é😀\\n" > "C:\\\\tmp"'}),
    ToolCall("read_file", {"path": "/etc/hosts", "lines": [1, 2]}),
)
TEXT = "Grüße, 世界 😀: all of this must arrive."

# Right answers told unusually: TEXT or TOOLS must arrive whole.
HARMLESS: dict[str, StepValue] = {
    "tools": Answer(tool_calls=TOOLS),
    "tools_in_one_chunk": Answer(tool_calls=TOOLS, quirks=("tools_in_one_chunk",)),
    "tool_id_apart": Answer(tool_calls=TOOLS, quirks=("tool_id_apart",)),
    "tool_without_index": Answer(tool_calls=TOOLS[:1], quirks=("tool_without_index",)),
    "tool_index_from_one": Answer(tool_calls=TOOLS, quirks=("tool_index_from_one",)),
    "tool_empty_ids": Answer(tool_calls=TOOLS, quirks=("tool_empty_ids",)),
    "tool_ids_everywhere": Answer(tool_calls=TOOLS, quirks=("tool_ids_everywhere",)),
    "tool_characters": Answer(tool_calls=TOOLS, quirks=("tool_characters",)),
    "tool_finish_stop": Answer(tool_calls=TOOLS, quirks=("tool_finish_stop",)),
    "role_everywhere": Answer(TEXT, quirks=("role_everywhere",)),
    "no_role": Answer(TEXT, quirks=("no_role",)),
    "one_chunk": Answer(TEXT, quirks=("one_chunk",)),
    "finish_on_last_output": Answer(TEXT, quirks=("finish_on_last_output",)),
    "empty_after_finish": Answer(TEXT, quirks=("empty_after_finish",)),
    "azure_first": Answer(TEXT, quirks=("azure_first",)),
    "usage_with_choice": Answer(TEXT, quirks=("usage_with_choice",)),
    "usage_on_finish": Answer(TEXT, quirks=("usage_on_finish",)),
    "usage_twice": Answer(TEXT, quirks=("usage_twice",)),
    "usage_always": Answer(TEXT, quirks=("usage_always",)),
    "no_usage": Answer(TEXT, quirks=("no_usage",)),
    "unknown_fields": Answer(
        TEXT, extra={"x_new": {"a": [1]}}, extra_choice={"y_new": None}, extra_message={"z_new": "z"}
    ),
    "reasoning_content": Answer(TEXT, reasoning="Let me think."),
    "reasoning": Answer(TEXT, reasoning="Let me think.", reasoning_field="reasoning"),
    "logprobs_with_finish": Answer(
        TEXT, quirks=("finish_on_last_output",), extra_choice={"logprobs": {"content": [], "refusal": None}}
    ),
    # Snowflake ends so. The vendor has said that it is done.
    "no_finish_but_done": play(Answer(TEXT), NoFinish(done=True)),
    "crlf": play(Answer(TEXT), line_ending="\r\n"),
    "cr": play(Answer(TEXT), line_ending="\r"),
    "mixed_line_endings": play(Answer(TEXT), line_ending="mixed", comments_first=1),
    "no_space": play(Answer(TEXT), space=False),
    "bom": play(Answer(TEXT), bom=True),
    "comments": play(Answer(TEXT), comments_first=2, comments_between=1, comment="OPENROUTER PROCESSING"),
    "multi_line_data": play(Answer(TEXT), multi_line=True),
    "ids_and_retry": play(Answer(TEXT), ids=True, retry=3000),
    "event_names": play(Answer(TEXT), event="message"),
    "one_byte_segments": play(Answer(TEXT), segment=1),
    "seven_byte_segments": play(Answer(TEXT), segment=7),
    "one_write": play(Answer(TEXT), one_write=True),
    "gzip": play(Answer(TEXT), gzip=True),
    "content_length": play(Answer(TEXT), body="length"),
    "close_delimited": play(Answer(TEXT), body="close"),
    "early_hints": play(Answer(TEXT), interim=(102, 103)),
    "connection_close": play(Answer(TEXT), connection="close"),
    "dropped_connection": play(Answer(TEXT), connection="drop"),
    "stale_connection": play(Answer(TEXT), connection="stale"),
    "no_done": play(Answer(TEXT), NoDone()),
    "double_done": play(Answer(TEXT), DoubleDone()),
}

# A break once output has been given.
BROKEN: dict[str, StepValue] = {
    "reset": Reset("after_output"),
    "closed": Close("after_output"),
    "closed_terminated": Close("after_output", terminated=True),
    "closed_before_finish": Close("before_finish"),
    "no_finish": NoFinish(),
    "no_finish_close_delimited": play(NoFinish(), body="close"),
    "error_mid": InBandError("mid"),
    "error_mid_done": InBandError("mid", then="done"),
    "error_event_mid": InBandError("mid", style="event"),
    "error_choice_mid": InBandError("mid", style="top_level_choice"),
    "error_x_groq_mid": InBandError("mid", style="x_groq"),
    "invalid_json": Malformed("after_output"),
    "truncated_json": Malformed("after_output", kind="truncated_json"),
    "binary": Malformed("after_output", kind="binary"),
    "silent": Silent("after_output"),
}

# No output was given: a client need never see these.
HIDDEN: dict[str, StepValue] = {
    "reset_before_head": Reset("before_head"),
    "reset_after_head": Reset("after_head"),
    "reset_after_role": Reset("after_role"),
    "closed_before_head": Close("before_head"),
    "closed_after_role": Close("after_role"),
    "closed_after_role_terminated": Close("after_role", terminated=True),
    "error_first": InBandError("first"),
    "error_event_first": InBandError("first", style="event"),
    "error_choice_first": InBandError("first", style="top_level_choice"),
    "error_x_groq_first": InBandError("first", style="x_groq"),
    "invalid_json_first": Malformed("after_head"),
    "error_as_200": error_as_200(),
    "html_as_200": html_as_200(),
    "empty_200": Status(200, ""),
    "truncated_200": Status(200, '{"id":"chatcmpl-1","object":"chat.comp', {"content-type": "application/json"}),
    "short_200": play(Answer(stream=False), surplus=100),
    "html_502": Status(502),
    "overloaded": Status(503),
    "overloaded_529": Status(529),
    "server_error": Status(500),
    "gateway_timeout": Status(504),
    "request_timeout": Status(408),
    "silent_before_head": Silent("before_head"),
    "silent_after_head": Silent("after_head"),
    "silent_after_role": Silent("after_role"),
    "error_body_never_comes": play(Status(500), Silent("after_head")),
}

# --- by name, for hand use

NAMED: dict[str, Step] = {
    "ok": Answer(),
    "agent": agent_story,
    "reset": Reset("after_output"),
    "close": Close("after_output"),
    "silent": Silent("after_role"),
    "slow": Slow(first=1.0, between=0.2),
    "die": Die(2.0),
    "error": InBandError("mid"),
    "no_finish": NoFinish(),
    "quota": out_of_credit(),
}


def named(name: str) -> Step:
    """A step by a status code, a kind of fault, or a name in ``NAMED``, ``HIDDEN``, ``BROKEN`` or ``HARMLESS``."""
    if name.isdigit():
        return rate_limited() if name == "429" else Status(int(name))
    if name in FAULTS:
        return fault(name)
    for table in (NAMED, HIDDEN, BROKEN, HARMLESS):
        if name in table:
            return table[name]
    known = ", ".join(sorted({*FAULTS, *NAMED, *HIDDEN, *BROKEN, *HARMLESS}))
    raise KeyError(f"no step {name!r}; known are status codes and {known}")
