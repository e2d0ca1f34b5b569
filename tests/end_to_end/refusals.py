"""How vendors of each family say no: a kind of refusal -> the answer to a request that fails so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.end_to_end.replaying import Reply

WAIT = 7
"""Seconds after which one may come back, where a family says such a thing."""


def refusal(status: int, body: Any, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status=status, headers=named, body=json.dumps(body).encode())


def _anthropic_error(type_: str, message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": type_, "message": message}, "request_id": "req_011C"}


def _gemini_error(code: int, status: str, message: str, *details: dict[str, Any]) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "status": status, "details": list(details)}}


def _openai_error(message: str, type_: str, code: str | None = None, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": type_, "param": None, "code": code, **more}}


def _mistral_error(message: str, type_: str, code: str, **more: Any) -> dict[str, Any]:
    return {"object": "error", "message": message, "type": type_, "param": None, "code": code, **more}


ANTHROPIC_OVERLOADED = _anthropic_error("overloaded_error", "Overloaded")
GEMINI_OVERLOADED = _gemini_error(503, "UNAVAILABLE", "The model is overloaded. Please try again later.")
OPENAI_OVERLOADED = _openai_error(
    "That model is currently overloaded with other requests.", "server_error", "server_is_overloaded"
)
MISTRAL_OVERLOADED = _mistral_error(
    "Service tier capacity exceeded for this model.", "service_tier_capacity_exceeded", "3505"
)


REFUSALS: Mapping[str, Mapping[str, Reply]] = {
    "anthropic": {
        "overloaded": refusal(529, ANTHROPIC_OVERLOADED),
        "rate": refusal(
            429,
            _anthropic_error("rate_limit_error", "This request would exceed your organization's rate limit"),
            retry_after=str(WAIT),
            anthropic_ratelimit_requests_remaining="0",
        ),
        "context": refusal(
            400, _anthropic_error("invalid_request_error", "prompt is too long: 210042 tokens > 200000 maximum")
        ),
        "filter": refusal(400, _anthropic_error("invalid_request_error", "Output blocked by content filtering policy")),
        "key": refusal(401, _anthropic_error("authentication_error", "invalid x-api-key")),
        "model": refusal(404, _anthropic_error("not_found_error", "model: no-such-model")),
    },
    "gemini": {
        "overloaded": refusal(503, GEMINI_OVERLOADED),
        "rate": refusal(
            429,
            _gemini_error(
                429,
                "RESOURCE_EXHAUSTED",
                "You exceeded your current quota, please check your plan and billing details.",
                {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{WAIT}s"},
            ),
        ),
        "context": refusal(
            400,
            _gemini_error(
                400,
                "INVALID_ARGUMENT",
                "The input token count (1048577) exceeds the maximum number of tokens allowed (1048576).",
            ),
        ),
        "key": refusal(
            400,
            _gemini_error(
                400,
                "INVALID_ARGUMENT",
                "API key not valid. Please pass a valid API key.",
                {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"},
            ),
        ),
        "model": refusal(
            404,
            _gemini_error(404, "NOT_FOUND", "models/no-such-model is not found for API version v1beta"),
        ),
    },
    "bedrock": {
        "overloaded": refusal(
            503,
            {"message": "Bedrock is unable to process your request."},
            x_amzn_errortype="ServiceUnavailableException",
        ),
        "rate": refusal(
            429,
            {"message": "Too many requests, please wait before trying again."},
            x_amzn_errortype="ThrottlingException:http://internal.amazon.com/coral/com.amazon.bedrock/",
        ),
        "context": refusal(
            400, {"message": "Input is too long for requested model."}, x_amzn_errortype="ValidationException"
        ),
        "key": refusal(
            403,
            {"message": "The security token included in the request is invalid."},
            x_amzn_errortype="UnrecognizedClientException",
        ),
        "model": refusal(
            400, {"message": "The provided model identifier is invalid."}, x_amzn_errortype="ValidationException"
        ),
    },
    "cohere": {
        "overloaded": refusal(503, {"id": "e1", "message": "the service is temporarily unavailable"}),
        "rate": refusal(429, {"id": "e1", "message": "Please wait and try again later"}, retry_after=str(WAIT)),
        "context": refusal(
            400, {"id": "e1", "message": "too many tokens: the total number of tokens in the prompt exceeds the limit"}
        ),
        "key": refusal(401, {"id": "e1", "message": "invalid api token"}),
        "model": refusal(404, {"id": "e1", "message": "model 'no-such-model' not found, make sure the ID is correct"}),
    },
    "ollama": {"model": refusal(404, {"error": "model 'no-such-model' not found"})},
    "openai": {
        "overloaded": refusal(503, OPENAI_OVERLOADED),
        "rate": refusal(
            429, _openai_error("Rate limit reached", "requests", "rate_limit_exceeded"), retry_after=str(WAIT)
        ),
        "context": refusal(
            400,
            _openai_error(
                "This model's maximum context length is 8192 tokens.",
                "invalid_request_error",
                "context_length_exceeded",
            ),
        ),
        "key": refusal(401, _openai_error("Incorrect API key provided.", "invalid_request_error", "invalid_api_key")),
        "model": refusal(
            404,
            _openai_error("The model `no-such-model` does not exist", "invalid_request_error", "model_not_found"),
        ),
    },
    "mistral": {
        "overloaded": refusal(503, MISTRAL_OVERLOADED),
        "rate": refusal(429, _mistral_error("Requests rate limit exceeded", "rate_limited", "1300")),
        "context": refusal(
            400,
            _mistral_error(
                "Prompt contains 40000 tokens, too large for model with 32768 maximum context length",
                "invalid_request_prompt",
                "3051",
            ),
        ),
        "key": refusal(401, {"detail": "Unauthorized"}),
        "model": refusal(400, _mistral_error("Invalid model: no-such-model", "invalid_model", "1500")),
    },
}
