"""What vendors say when they refuse, and what it means: kind of fault, words, time to come back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.faults import BODY_KEPT, LONGEST, read_error_object, read_fault, refuses_signatures, retry_after
from gateway.errors import Fault, FaultKind

K = FaultKind
# 2026-11-21T12:00:00Z
NOW = 1795262400.0


def anthropic(
    message: str, type: str = "invalid_request_error", details: dict[str, str] | None = None
) -> dict[str, Any]:
    error = {"type": type, "message": message, **({"details": details} if details else {})}
    return {"type": "error", "error": error, "request_id": "req_1"}


def openai(message: str, type: str | None = None, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": type, "param": param, "code": code}}


def google(code: int, status: str, message: str, *details: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "status": status, "details": list(details)}}


GOOGLE_MINUTE = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "37s"}
GOOGLE_DAY = {
    "@type": "type.googleapis.com/google.rpc.QuotaFailure",
    "violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier", "quotaValue": "250"}],
}

# vendor, what happened: (status, body, kind, code)
BODIES: dict[str, tuple[int, Any, FaultKind, str | None]] = {
    "OpenAI, key": (
        401,
        openai("Incorrect API key provided: sk-…", "invalid_request_error", "invalid_api_key"),
        K.BAD_CREDENTIALS,
        "invalid_api_key",
    ),
    "OpenAI, rate": (
        429,
        openai("Rate limit reached for gpt-5 … Please try again in 6.034s.", "tokens", "rate_limit_exceeded"),
        K.RATE_LIMITED,
        "rate_limit_exceeded",
    ),
    "OpenAI, ramp": (429, openai("Slow down", "requests", "slow_down"), K.RATE_LIMITED, "slow_down"),
    "OpenAI, quota": (
        429,
        openai("You exceeded your current quota, please check your plan", "insufficient_quota", "insufficient_quota"),
        K.OUT_OF_CREDIT,
        "insufficient_quota",
    ),
    "OpenAI, credit": (
        429,
        openai("No credit", "insufficient_quota", "credit_balance_exhausted"),
        K.OUT_OF_CREDIT,
        "credit_balance_exhausted",
    ),
    "OpenAI, project's limit": (
        429,
        openai("Limit", "insufficient_quota", "project_spend_limit_exceeded"),
        K.OUT_OF_CREDIT,
        "project_spend_limit_exceeded",
    ),
    "OpenAI, usage limit": (
        429,
        openai("Limit", None, "organization_usage_limit_exceeded"),
        K.OUT_OF_CREDIT,
        "organization_usage_limit_exceeded",
    ),
    "OpenAI, billing hard limit": (
        400,
        openai("Billing hard limit has been reached", "invalid_request_error", "billing_hard_limit_reached"),
        K.OUT_OF_CREDIT,
        "billing_hard_limit_reached",
    ),
    "OpenAI, model": (
        404,
        openai("The model `gpt-6` does not exist or you do not have access to it.", None, "model_not_found"),
        K.MODEL_MISSING,
        "model_not_found",
    ),
    "OpenAI, no access to the model": (
        403,
        openai("Project `p` does not have access to model `o9`", "invalid_request_error", "model_not_found"),
        K.MODEL_MISSING,
        "model_not_found",
    ),
    "OpenAI, country": (
        403,
        openai("Country, region, or territory not supported", "request_forbidden", "unsupported_country"),
        K.BAD_CREDENTIALS,
        "unsupported_country",
    ),
    "OpenAI, context": (
        400,
        openai(
            "This model's maximum context length is 128000 tokens.",
            "invalid_request_error",
            "context_length_exceeded",
            "messages",
        ),
        K.CONTEXT_TOO_LONG,
        "context_length_exceeded",
    ),
    "OpenAI, string too long": (
        400,
        openai("Invalid 'x': string too long. maximum context length", None, "string_above_max_length"),
        K.BAD_REQUEST,
        "string_above_max_length",
    ),
    "OpenAI, policy": (
        400,
        openai("Invalid prompt: your prompt was flagged", "invalid_request_error", "invalid_prompt"),
        K.REFUSED,
        "invalid_prompt",
    ),
    "OpenAI, parameter": (
        400,
        openai("Unsupported parameter", "invalid_request_error", "unsupported_parameter", "max_tokens"),
        K.BAD_REQUEST,
        "unsupported_parameter",
    ),
    "OpenAI, server": (500, openai("The server had an error", "server_error"), K.SERVER_ERROR, None),
    "OpenAI, overload": (
        503,
        openai("Overloaded", "service_unavailable_error", "server_is_overloaded"),
        K.OVERLOADED,
        "server_is_overloaded",
    ),
    "Azure, key": (
        401,
        {"error": {"code": "401", "message": "Access denied due to invalid subscription key"}},
        K.BAD_CREDENTIALS,
        "401",
    ),
    "Azure, deployment": (
        404,
        {"error": {"code": "DeploymentNotFound", "message": "The API deployment for this resource does not exist."}},
        K.MODEL_MISSING,
        "DeploymentNotFound",
    ),
    "Azure, path": (404, {"error": {"code": "404", "message": "Resource not found"}}, K.MODEL_MISSING, "404"),
    "Azure, rate": (
        429,
        {"error": {"code": "429", "message": "Token rate limit exceeded. Please retry after 7 seconds."}},
        K.RATE_LIMITED,
        "429",
    ),
    "Azure, filter": (
        400,
        {
            "error": {
                "message": "Filtered due to the prompt triggering our content management policy.",
                "type": None,
                "param": "prompt",
                "code": "content_filter",
                "status": 400,
                "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {}},
            }
        },
        K.REFUSED,
        "content_filter",
    ),
    "Azure, filter, by the inner code": (
        400,
        {"error": {"message": "Filtered", "innererror": {"code": "ResponsibleAIPolicyViolation"}}},
        K.REFUSED,
        "ResponsibleAIPolicyViolation",
    ),
    "Azure gateway": (
        401,
        {"statusCode": 401, "message": "Access denied due to missing subscription key."},
        K.BAD_CREDENTIALS,
        None,
    ),
    "Anthropic, overload": (
        529,
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}, "request_id": "r"},
        K.OVERLOADED,
        None,
    ),
    "Anthropic, context": (
        400,
        {
            "type": "error",
            "error": {"type": "invalid_request_error", "message": "prompt is too long: 210000 tokens > 200000 maximum"},
        },
        K.CONTEXT_TOO_LONG,
        None,
    ),
    "Anthropic, input and output": (
        400,
        {
            "type": "error",
            "error": {"type": "invalid_request_error", "message": "input length and `max_tokens` exceed context limit"},
        },
        K.CONTEXT_TOO_LONG,
        None,
    ),
    "Anthropic, credit": (
        400,
        {
            "type": "error",
            "error": {"type": "invalid_request_error", "message": "Your credit balance is too low to access the API."},
        },
        K.OUT_OF_CREDIT,
        None,
    ),
    "Anthropic, filter": (
        400,
        {
            "type": "error",
            "error": {"type": "invalid_request_error", "message": "Output blocked by content filtering policy"},
        },
        K.REFUSED,
        None,
    ),
    "Google, context": (
        400,
        google(400, "INVALID_ARGUMENT", "The input token count (9) exceeds the maximum number of tokens allowed (8)."),
        K.CONTEXT_TOO_LONG,
        "400",
    ),
    "Google, in a list": (
        503,
        [google(503, "UNAVAILABLE", "The model is overloaded. Please try again later.")],
        K.OVERLOADED,
        "503",
    ),
    "Google, window": (
        400,
        google(400, "INVALID_ARGUMENT", "The input token count is 1200000 but model only supports up to 1048576."),
        K.CONTEXT_TOO_LONG,
        "400",
    ),
    "Google, key": (
        400,
        google(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."),
        K.BAD_CREDENTIALS,
        "400",
    ),
    "Google, key in a list": (
        400,
        [google(400, "INVALID_ARGUMENT", "API key expired. Please renew the API key.")],
        K.BAD_CREDENTIALS,
        "400",
    ),
    "Google, country": (
        400,
        google(400, "FAILED_PRECONDITION", "User location is not supported for the API use."),
        K.BAD_CREDENTIALS,
        "400",
    ),
    "Google, permission": (
        403,
        google(403, "PERMISSION_DENIED", "Permission 'aiplatform.endpoints.predict' denied on resource."),
        K.BAD_CREDENTIALS,
        "403",
    ),
    "Google, file": (
        403,
        google(403, "PERMISSION_DENIED", "You do not have permission to access the File abc or it may not exist."),
        K.BAD_REQUEST,
        "403",
    ),
    "Google, model": (
        404,
        google(404, "NOT_FOUND", "models/gemini-9 is not found for API version v1beta, or is not supported."),
        K.MODEL_MISSING,
        "404",
    ),
    "Google, region": (
        400,
        google(400, "FAILED_PRECONDITION", "Publisher Model is not servable in region europe-west9."),
        K.MODEL_MISSING,
        "400",
    ),
    "Google, rate": (
        429,
        google(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota, please check your plan.", GOOGLE_MINUTE),
        K.RATE_LIMITED,
        "429",
    ),
    "Google, shared quota": (
        429,
        google(429, "RESOURCE_EXHAUSTED", "Resource exhausted. Please try again later."),
        K.RATE_LIMITED,
        "429",
    ),
    "Google, credits": (
        429,
        google(429, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted."),
        K.OUT_OF_CREDIT,
        "429",
    ),
    "Google, signature": (
        400,
        google(400, "INVALID_ARGUMENT", "Function call is missing a thought_signature in functionCall parts."),
        K.BAD_REQUEST,
        "400",
    ),
    "Google, deadline": (504, google(504, "DEADLINE_EXCEEDED", "Deadline expired."), K.SERVER_ERROR, "504"),
    "Google, cancelled": (499, google(499, "CANCELLED", "The operation was cancelled."), K.SERVER_ERROR, "499"),
    "Groq, capacity": (498, openai("capacity exceeded", "capacity_exceeded"), K.OVERLOADED, None),
    "Groq, retired": (
        400,
        openai("The model `m` has been decommissioned and is no longer supported", None, "model_decommissioned"),
        K.MODEL_MISSING,
        "model_decommissioned",
    ),
    "OpenRouter, credit": (402, {"error": {"code": 402, "message": "Insufficient credits"}}, K.OUT_OF_CREDIT, "402"),
    "OpenRouter, moderation": (
        403,
        {"error": {"code": 403, "message": "anser/goose-1 requires moderation. Your input was flagged"}},
        K.REFUSED,
        "403",
    ),
    "OpenRouter, model": (
        400,
        {"error": {"code": 400, "message": "anser/x is not a valid model ID"}},
        K.MODEL_MISSING,
        "400",
    ),
    "DeepSeek, credit": (
        402,
        openai("Insufficient Balance", "unknown_error", "invalid_request_error"),
        K.OUT_OF_CREDIT,
        "invalid_request_error",
    ),
    "xAI, key": (
        400,
        {"code": "Client specified an invalid argument", "error": "Incorrect API key provided: xa***."},
        K.BAD_CREDENTIALS,
        "Client specified an invalid argument",
    ),
    "xAI, context": (
        400,
        {"code": "x", "error": "This model's maximum prompt length is 131072 but the request contains 200000 tokens."},
        K.CONTEXT_TOO_LONG,
        "x",
    ),
    "key, at 400": (400, openai("API key not valid", None, "invalid_api_key"), K.BAD_CREDENTIALS, "invalid_api_key"),
    "Mistral, validation": (
        422,
        {
            "object": "error",
            "message": {"detail": [{"loc": ["body", "n"], "msg": "bad"}]},
            "type": "invalid_request_error",
        },
        K.BAD_REQUEST,
        None,
    ),
    "Mistral, rate": (
        429,
        {"object": "error", "message": "Requests rate limit exceeded", "type": "rate_limited", "code": "1300"},
        K.RATE_LIMITED,
        "1300",
    ),
    "Mistral, model": (
        400,
        {"object": "error", "message": "Invalid model: mistral-x", "type": "invalid_model", "code": "1500"},
        K.MODEL_MISSING,
        "1500",
    ),
    "Mistral, detail": (401, {"detail": "Unauthorized"}, K.BAD_CREDENTIALS, None),
    "TGI, inputs and new tokens": (
        422,
        {
            "error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096",
            "error_type": "validation",
        },
        K.CONTEXT_TOO_LONG,
        None,
    ),
    "vLLM, context": (
        400,
        {
            "object": "error",
            "message": "This model's maximum context length is 4096 tokens.",
            "type": "BadRequestError",
            "param": None,
            "code": 400,
        },
        K.CONTEXT_TOO_LONG,
        "400",
    ),
    "Cerebras, context": (
        400,
        {
            "message": "Please reduce the length. Current length is 9000 while limit is 8192",
            "code": "context_length_exceeded",
        },
        K.CONTEXT_TOO_LONG,
        "context_length_exceeded",
    ),
    "llama.cpp, context": (
        400,
        {
            "error": {
                "code": 400,
                "message": "the request exceeds the available context size",
                "type": "exceed_context_size_error",
            }
        },
        K.CONTEXT_TOO_LONG,
        "400",
    ),
    "Venice, policy": (422, {"error": "CONTENT_POLICY_VIOLATION"}, K.REFUSED, None),
    "Ollama, model": (
        404,
        openai('model "geese" not found, try pulling it first', "api_error"),
        K.MODEL_MISSING,
        None,
    ),
    "Anthropic: a prompt": (
        400,
        anthropic("prompt is too long: 213462 tokens > 200000 maximum"),
        K.CONTEXT_TOO_LONG,
        None,
    ),
    "Anthropic: a prompt and its answer": (
        400,
        anthropic("input length and `max_tokens` exceed context limit: 188240 + 20000 > 200000"),
        K.CONTEXT_TOO_LONG,
        None,
    ),
    "Anthropic: an answer too long for the model": (
        400,
        anthropic("max_tokens: 100000 > 64000, which is the maximum allowed number of output tokens"),
        K.BAD_REQUEST,
        None,
    ),
    "Anthropic: an effort": (
        400,
        anthropic("This model does not support effort level 'xhigh'. Supported levels: high, low, max, medium."),
        K.BAD_REQUEST,
        None,
    ),
    "Anthropic: a thought of another conversation": (
        400,
        anthropic("messages.5.content.0: Invalid `signature` in `thinking` block."),
        K.BAD_REQUEST,
        None,
    ),
    "Anthropic: blocked": (400, anthropic("Output blocked by content filtering policy"), K.REFUSED, None),
    "Anthropic: no credit": (
        400,
        anthropic("Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing."),
        K.OUT_OF_CREDIT,
        None,
    ),
    "Anthropic: a limit one set oneself": (
        400,
        anthropic("You have reached your specified workspace API usage limits. You will regain access on 2026-12-01."),
        K.OUT_OF_CREDIT,
        None,
    ),
    "Anthropic: a disabled organization": (
        400,
        anthropic("This organization has been disabled."),
        K.BAD_CREDENTIALS,
        None,
    ),
    "Anthropic: a key": (401, anthropic("invalid x-api-key", "authentication_error"), K.BAD_CREDENTIALS, None),
    "Anthropic: a bill": (402, anthropic("m", "billing_error"), K.OUT_OF_CREDIT, None),
    "Anthropic: not allowed": (403, anthropic("Request not allowed", "permission_error"), K.BAD_CREDENTIALS, None),
    "Anthropic: a model": (404, anthropic("model: claude-sonet-4-5", "not_found_error"), K.MODEL_MISSING, None),
    "Anthropic: too many bytes": (413, anthropic("m", "request_too_large"), K.BAD_REQUEST, None),
    "Anthropic: a rate": (
        429,
        anthropic("This request would exceed your rate limit", "rate_limit_error"),
        K.RATE_LIMITED,
        None,
    ),
    "Anthropic: the month's limit": (
        429,
        anthropic("m", "rate_limit_error", {"error_code": "enforced_spend_limit_reached"}),
        K.OUT_OF_CREDIT,
        "enforced_spend_limit_reached",
    ),
    "Anthropic: its own": (500, anthropic("Internal server error", "api_error"), K.SERVER_ERROR, None),
    "Anthropic: too slow": (504, anthropic("m", "timeout_error"), K.SERVER_ERROR, None),
    "Anthropic: overloaded": (529, anthropic("Overloaded", "overloaded_error"), K.OVERLOADED, None),
    "many tokens at once is a rate": (
        429,
        openai("Too many tokens, please wait before trying again.", None, None),
        K.RATE_LIMITED,
        None,
    ),
    "a 5xx is the vendor's, whatever it quotes": (
        500,
        openai("upstream said context_length_exceeded", None, None),
        K.SERVER_ERROR,
        None,
    ),
    "an overload told as a 500": (
        500,
        openai("The engine is currently overloaded", "server_error"),
        K.OVERLOADED,
        None,
    ),
    "an HTML page": (502, "<html><head><title>502 Bad Gateway</title></head></html>", K.SERVER_ERROR, None),
    "a CDN's page": (524, "<html><title>timeout</title></html>", K.SERVER_ERROR, None),
    "nothing": (503, "", K.OVERLOADED, None),
    "plain text": (400, "bad things", K.BAD_REQUEST, None),
    "Cohere, key": (401, {"id": "x", "message": "invalid api token"}, K.BAD_CREDENTIALS, None),
    "Cohere, context": (
        400,
        {"id": "x", "message": "too many tokens: size limit exceeded by 11326 tokens. The limit is 128000 tokens."},
        K.CONTEXT_TOO_LONG,
        None,
    ),
    "Cohere, model": (
        404,
        {"id": "x", "message": "model 'command-z' not found, make sure the correct model ID was used"},
        K.MODEL_MISSING,
        None,
    ),
    "Cohere, model that is gone": (
        400,
        {"id": "x", "message": "model 'command' was removed on September 15, 2025."},
        K.MODEL_MISSING,
        None,
    ),
    "Cohere, trial by the month": (
        429,
        {"message": "You are using a Trial key, which is limited to 1000 API calls / month."},
        K.OUT_OF_CREDIT,
        None,
    ),
    "Cohere, trial by the minute": (
        429,
        {"message": "You are using a Trial key, which is limited to 20 API calls / minute."},
        K.RATE_LIMITED,
        None,
    ),
    "Cohere, a token on a list": (498, {"id": "x", "message": "blocked output"}, K.REFUSED, None),
    "Cohere, parameter": (422, {"message": "p must be between 0 and 1"}, K.BAD_REQUEST, None),
    "Cohere, timeout": (504, {"message": "gateway timeout"}, K.SERVER_ERROR, None),
    "Ollama, no tools": (
        400,
        {"error": "registry.ollama.ai/library/gemma:latest does not support tools"},
        K.BAD_REQUEST,
        None,
    ),
    "Ollama, busy": (
        503,
        {"error": "server busy, please try again. maximum pending requests exceeded"},
        K.OVERLOADED,
        None,
    ),
    "Databricks, rate": (
        429,
        {"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "Exceeded workspace input tokens per minute rate limit"},
        K.RATE_LIMITED,
        "REQUEST_LIMIT_EXCEEDED",
    ),
    "Databricks, key": (403, {"error_code": "403", "message": "Invalid access token."}, K.BAD_CREDENTIALS, "403"),
    "Databricks, endpoint": (
        404,
        {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "The given endpoint does not exist."},
        K.MODEL_MISSING,
        "RESOURCE_DOES_NOT_EXIST",
    ),
    "Databricks, switched off": (
        403,
        {
            "error_code": "PERMISSION_DENIED",
            "message": "The endpoint is temporarily disabled due to a Databricks-set rate limit of 0.",
        },
        K.MODEL_MISSING,
        "PERMISSION_DENIED",
    ),
    "Databricks, context": (
        400,
        {"error_code": "BAD_REQUEST", "message": "prompt is too long: 208310 tokens > 200000 maximum"},
        K.CONTEXT_TOO_LONG,
        "BAD_REQUEST",
    ),
    "Databricks, parameter": (
        400,
        {"error_code": "BAD_REQUEST", "message": "tools.0.function.strict: Extra inputs are not permitted"},
        K.BAD_REQUEST,
        "BAD_REQUEST",
    ),
    "Snowflake, token": (
        401,
        {"code": "390303", "message": "Invalid OAuth access token."},
        K.BAD_CREDENTIALS,
        "390303",
    ),
    "Snowflake, model": (400, {"message": "unknown model claude-9", "request_id": "x"}, K.MODEL_MISSING, None),
}


def encoded(body: Any) -> bytes:
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


@pytest.mark.parametrize(("status", "body", "kind", "code"), BODIES.values(), ids=BODIES)
def test_what_vendors_say(status: int, body: Any, kind: FaultKind, code: str | None):
    fault = read_fault(status, {}, encoded(body), NOW)
    assert (fault.kind, fault.code, fault.status) == (kind, code, status)
    assert fault.message
    assert fault.body == (encoded(body).decode() or None)


# What AWS says, whose errors are named in a header: (status, exception, message, kind)
AWS: dict[str, tuple[int, str, str, FaultKind]] = {
    "rate": (429, "ThrottlingException", "Too many requests, please wait before trying again.", K.RATE_LIMITED),
    "rate of tokens": (429, "ThrottlingException", "Too many tokens, please wait before trying again.", K.RATE_LIMITED),
    "quota": (400, "ServiceQuotaExceededException", "Too many tokens per day, please wait.", K.RATE_LIMITED),
    "not ready": (429, "ModelNotReadyException", "Model is not ready for inference.", K.OVERLOADED),
    "busy": (503, "ServiceUnavailableException", "Bedrock is unable to process your request.", K.OVERLOADED),
    "broken": (500, "InternalServerException", "The system encountered an unexpected error.", K.SERVER_ERROR),
    "slow": (408, "ModelTimeoutException", "The request took too long to process.", K.SERVER_ERROR),
    "model's own": (424, "ModelErrorException", "The request failed due to a model error.", K.SERVER_ERROR),
    "long": (400, "ValidationException", "Input is too long for requested model.", K.CONTEXT_TOO_LONG),
    "long for Claude": (
        400,
        "ValidationException",
        "The model returned the following errors: prompt is too long: 205000 tokens > 200000 maximum",
        K.CONTEXT_TOO_LONG,
    ),
    "long for Nova": (
        400,
        "ValidationException",
        "Input Tokens Exceeded: Number of input tokens exceeds maximum length.",
        K.CONTEXT_TOO_LONG,
    ),
    "wrong": (400, "ValidationException", "A conversation must start with a user message.", K.BAD_REQUEST),
    "no such model": (400, "ValidationException", "The provided model identifier is invalid.", K.MODEL_MISSING),
    "not on demand": (
        400,
        "ValidationException",
        "Invocation of model ID anthropic.claude-x with on-demand throughput isn\u2019t supported. Retry your request "
        "with the ID or ARN of an inference profile that contains this model.",
        K.MODEL_MISSING,
    ),
    "no access": (
        403,
        "AccessDeniedException",
        "You don't have access to the model with the specified model ID.",
        K.MODEL_MISSING,
    ),
    "no cache": (
        403,
        "AccessDeniedException",
        "You invoked an unsupported model or your request did not allow prompt caching.",
        K.BAD_REQUEST,
    ),
    "no right": (
        403,
        "AccessDeniedException",
        "User: arn:aws:iam::1:user/x is not authorized to perform: bedrock:InvokeModel",
        K.BAD_CREDENTIALS,
    ),
    "ended": (403, "ExpiredTokenException", "The security token included in the request is expired", K.BAD_CREDENTIALS),
    "unknown key": (
        403,
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
        K.BAD_CREDENTIALS,
    ),
    "unknown key, elsewhere": (400, "UnrecognizedClientException", "invalid", K.BAD_CREDENTIALS),
    "signature": (
        403,
        "InvalidSignatureException",
        "The request signature we calculated does not match the signature you provided.",
        K.BAD_CREDENTIALS,
    ),
    "gone": (404, "ResourceNotFoundException", "This model version has reached the end of its life.", K.MODEL_MISSING),
    "no endpoint": (400, "ValidationError", "Endpoint my-ep of account 123456789012 not found.", K.MODEL_MISSING),
    "dependency": (530, "InternalDependencyException", "Your request caused an exception.", K.SERVER_ERROR),
}


@pytest.mark.parametrize(("status", "exception", "message", "kind"), AWS.values(), ids=AWS)
def test_what_aws_says(status: int, exception: str, message: str, kind: FaultKind):
    header = {"x-amzn-errortype": f"{exception}:http://internal.amazon.com/coral/com.amazon.bedrock/"}
    named = {"__type": f"com.amazon.coral.service#{exception}", "Message": message}
    for headers, body in ((header, {"message": message}), ({}, named)):
        fault = read_fault(status, headers, json.dumps(body).encode(), NOW)
        assert (fault.kind, fault.type, fault.code) == (kind, exception, None)
        assert fault.message == message


# What a container said that SageMaker called: (its status, its words, kind)
CONTAINERS: dict[str, tuple[int, Any, FaultKind]] = {
    "wrong": (422, "Input validation error: `temperature` must be strictly positive", K.BAD_REQUEST),
    "long": (400, "This model's maximum context length is 4096 tokens.", K.CONTEXT_TOO_LONG),
    "busy": (429, "Model is overloaded", K.RATE_LIMITED),
    "broken": (500, "CUDA error", K.SERVER_ERROR),
}


@pytest.mark.parametrize(("status", "said", "kind"), CONTAINERS.values(), ids=CONTAINERS)
def test_what_containers_say(status: int, said: str, kind: FaultKind):
    body = {"ErrorCode": "CLIENT_ERROR_FROM_MODEL", "OriginalStatusCode": status, "OriginalMessage": said}
    body["Message"] = f'Received client error ({status}) from primary with message "{said}".'
    fault = read_fault(424, {"x-amzn-errortype": "ModelError"}, json.dumps(body).encode(), NOW)
    assert (fault.kind, fault.message) == (kind, said)


STATUSES = {
    301: K.GARBLED,
    400: K.BAD_REQUEST,
    401: K.BAD_CREDENTIALS,
    402: K.OUT_OF_CREDIT,
    403: K.BAD_CREDENTIALS,
    404: K.MODEL_MISSING,
    405: K.BAD_REQUEST,
    408: K.SERVER_ERROR,
    409: K.SERVER_ERROR,
    410: K.MODEL_MISSING,
    413: K.BAD_REQUEST,
    418: K.BAD_REQUEST,
    422: K.BAD_REQUEST,
    424: K.SERVER_ERROR,
    425: K.SERVER_ERROR,
    429: K.RATE_LIMITED,
    498: K.OVERLOADED,
    500: K.SERVER_ERROR,
    501: K.SERVER_ERROR,
    502: K.SERVER_ERROR,
    503: K.OVERLOADED,
    504: K.SERVER_ERROR,
    520: K.SERVER_ERROR,
    529: K.OVERLOADED,
}


@pytest.mark.parametrize(("status", "kind"), STATUSES.items())
def test_a_status_alone(status: int, kind: FaultKind):
    fault = read_fault(status, {}, b"", NOW)
    assert (fault.kind, fault.message, fault.body) == (kind, f"HTTP {status} without a message", None)


# body: (message, type, code, param)
WORDS: dict[str, tuple[Any, tuple[str, str | None, str | None, str | None]]] = {
    "OpenAI": (openai("m", "t", "c", "p"), ("m", "t", "c", "p")),
    "flat": ({"message": "m", "type": "t", "code": "c", "param": "p"}, ("m", "t", "c", "p")),
    "text": ({"error": "m", "code": "c"}, ("m", None, "c", None)),
    "detail": ({"detail": "m"}, ("m", None, None, None)),
    "detail in a list": ({"detail": [{"msg": "m"}]}, ('[{"msg":"m"}]', None, None, None)),
    "msg": ({"code": 40, "msg": "m"}, ("m", None, "40", None)),
    "error inside error": ({"error": {"error": "m"}}, ("m", None, None, None)),
    "null error": ({"error": None, "message": "m"}, ("m", None, None, None)),
    "list": ([{"error": {"message": "m"}}], ("m", None, None, None)),
    "a title": ("<HTML>\n<title lang=en> No\nway </title>", ("No\nway", None, None, None)),
    "text alone": ("  no way \n", ("no way", None, None, None)),
    "JSON text": ('"no way"', ("no way", None, None, None)),
    "code as number": ({"error": {"message": "m", "code": 429}}, ("m", None, "429", None)),
}


@pytest.mark.parametrize(("body", "words"), WORDS.values(), ids=WORDS)
def test_words(body: Any, words: tuple[str, ...]):
    fault = read_fault(418, {}, encoded(body), NOW)
    assert (fault.message, fault.type, fault.code, fault.param) == words


# An error inside a 200 has no status but the one it claims.
INSIDE: dict[str, tuple[Any, FaultKind]] = {
    "a claimed status": ({"error": {"message": "m", "code": 503}}, K.OVERLOADED),
    "a claimed status as text": ({"error": {"message": "m", "code": "429"}}, K.RATE_LIMITED),
    "a claimed status beside": ({"status_code": 401, "error": {"message": "m"}}, K.BAD_CREDENTIALS),
    "a number that is no status": ({"error": {"message": "m", "code": 1300}}, K.GARBLED),
    "a boolean is no status": ({"error": {"message": "m", "status": True}}, K.GARBLED),
    "digits of another script": ({"error": {"message": "m", "code": "²³¹"}}, K.GARBLED),
    "a signature": (openai("m", None, "insufficient_quota"), K.OUT_OF_CREDIT),
    "a context": (openai("maximum context length is 5"), K.CONTEXT_TOO_LONG),
    "a code": (openai("m", None, "rate_limit_exceeded"), K.RATE_LIMITED),
    "a type": (openai("m", "authentication_error"), K.BAD_CREDENTIALS),
    "the code before the type": (openai("m", "server_error", "rate_limit_exceeded"), K.RATE_LIMITED),
    "case does not matter": (openai("m", "Overloaded_Error"), K.OVERLOADED),
    "Anthropic: overloaded": (anthropic("Overloaded", "overloaded_error"), K.OVERLOADED),
    "Anthropic: its own": (anthropic("Internal server error", "api_error"), K.SERVER_ERROR),
    "Anthropic: too slow": (anthropic("m", "timeout_error"), K.SERVER_ERROR),
    "Anthropic: a bill": (anthropic("m", "billing_error"), K.OUT_OF_CREDIT),
    "Anthropic: a rate": (anthropic("m", "rate_limit_error"), K.RATE_LIMITED),
    "an overload in words": (openai("The model is at capacity"), K.OVERLOADED),
    "a model": (openai("m", None, "model_not_found"), K.MODEL_MISSING),
    "a bad request": (openai("m", "invalid_request_error"), K.BAD_REQUEST),
    "Databricks": ({"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "m"}, K.RATE_LIMITED),
    "Databricks, in an error": ({"error": {"error_code": "ENDPOINT_NOT_FOUND", "message": "m"}}, K.MODEL_MISSING),
    "Snowflake, a session that has ended": ({"code": "390112", "message": "m"}, K.BAD_CREDENTIALS),
    "Cohere": ({"id": "x", "message": "too many tokens: 9"}, K.CONTEXT_TOO_LONG),
    "Ollama": ({"error": "model 'x' not found"}, K.MODEL_MISSING),
    "nothing known": (openai("something broke"), K.GARBLED),
    "nothing said": ({}, K.GARBLED),
    "a list": ([1, 2], K.GARBLED),
    "text": ("boom", K.GARBLED),
}


@pytest.mark.parametrize(("said", "kind"), INSIDE.values(), ids=INSIDE)
def test_an_error_inside_a_200(said: Any, kind: FaultKind):
    fault = read_error_object(said, encoded(said), NOW)
    assert fault.kind is kind
    assert fault.message


# Retry-After ----------------------------------------------------------------------------------------------------------

HEADERS: dict[str, tuple[dict[str, str], float | None]] = {
    "nothing": ({}, None),
    "seconds": ({"retry-after": "7"}, 7),
    "a fraction": ({"retry-after": "0.25"}, 0.25),
    "zero": ({"retry-after": "0"}, 0),
    "spaces": ({"retry-after": " 7 "}, 7),
    "with a unit": ({"retry-after": "20s"}, 20),
    "a date ahead": ({"retry-after": "Sat, 21 Nov 2026 12:00:30 GMT"}, 30),
    "a date past": ({"retry-after": "Sat, 21 Nov 2026 11:00:00 GMT"}, 0),
    "a date of RFC 850": ({"retry-after": "Saturday, 21-Nov-26 12:00:30 GMT"}, 30),
    "a date of asctime": ({"retry-after": "Sat Nov 21 12:00:30 2026"}, 30),
    "a date in another zone": ({"retry-after": "Sat, 21 Nov 2026 13:00:30 +0100"}, 30),
    "a date of RFC 3339": ({"retry-after": "2026-11-21T12:00:30Z"}, 30),
    "a date far ahead": ({"retry-after": "Sat, 21 Nov 2099 12:00:30 GMT"}, LONGEST),
    "an impossible date": ({"retry-after": "Sat, 99 Nov 2026 12:00:30 GMT"}, None),
    "milliseconds": ({"retry-after-ms": "1500"}, 1.5),
    "milliseconds before seconds": ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
    "bad milliseconds": ({"retry-after-ms": "soon", "retry-after": "2"}, 2),
    "not a number": ({"retry-after": "NaN"}, None),
    "negative": ({"retry-after": "-5"}, None),
    "infinite": ({"retry-after": "inf"}, None),
    "negative infinity": ({"retry-after-ms": "-inf"}, None),
    "huge": ({"retry-after": "1e300"}, LONGEST),
    "too huge": ({"retry-after": "1" * 400}, None),
    "garbage": ({"retry-after": "later, perhaps"}, None),
    "empty": ({"retry-after": ""}, None),
    "OpenAI, minutes": ({"x-ratelimit-reset-requests": "6m0s"}, 360),
    "OpenAI, seconds": ({"x-ratelimit-reset-tokens": "7.66s"}, 7.66),
    "OpenAI, milliseconds": ({"x-ratelimit-reset-tokens": "20ms"}, 0.02),
    "OpenAI, hours": ({"x-ratelimit-reset-requests": "1h2m3.5s"}, 3723.5),
    "the limit that is used up": (
        {
            "x-ratelimit-reset-requests": "1s",
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-tokens": "9s",
            "x-ratelimit-remaining-tokens": "12",
        },
        1,
    ),
    "both are used up: the longer": (
        {
            "x-ratelimit-reset-requests": "1s",
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-tokens": "9s",
            "x-ratelimit-remaining-tokens": "0",
        },
        9,
    ),
    "none is used up": ({"x-ratelimit-reset-tokens": "9s", "x-ratelimit-remaining-tokens": "12"}, None),
    "it is not said what remains: the longer": (
        {"x-ratelimit-reset-requests": "1s", "x-ratelimit-reset-tokens": "9s"},
        9,
    ),
    "plain seconds": ({"x-ratelimit-reset-tokens": "12.5", "x-ratelimit-remaining-tokens": "0"}, 12.5),
    "unix seconds": ({"x-ratelimit-reset-requests": str(int(NOW) + 42)}, 42),
    "unix milliseconds": ({"x-ratelimit-reset": str((int(NOW) + 42) * 1000)}, 42),
    "unix seconds past": ({"x-ratelimit-reset": str(int(NOW) - 42)}, 0),
    "Cerebras, per day": (
        {"x-ratelimit-reset-requests-day": "33011.38", "x-ratelimit-remaining-requests-day": "0"},
        33011.38,
    ),
    "Anthropic": (
        {
            "anthropic-ratelimit-input-tokens-reset": "2026-11-21T12:00:05Z",
            "anthropic-ratelimit-input-tokens-remaining": "0",
        },
        5,
    ),
    "Anthropic, past": ({"anthropic-ratelimit-requests-reset": "2026-11-21T11:59:00+00:00"}, 0),
    "retry-after before resets": ({"retry-after": "3", "x-ratelimit-reset-requests": "6m0s"}, 3),
    "garbage in a reset": ({"x-ratelimit-reset-requests": "soon"}, None),
    "negative in a reset": ({"x-ratelimit-reset-requests": "-3"}, None),
}


@pytest.mark.parametrize(("headers", "seconds"), HEADERS.values(), ids=HEADERS)
def test_retry_after_in_headers(headers: dict[str, str], seconds: float | None):
    assert retry_after(headers, b"", NOW) == (None if seconds is None else pytest.approx(seconds))


HINTS: dict[str, tuple[Any, float | None]] = {
    "OpenAI": (openai("Rate limit reached … Please try again in 6.034s. Visit …"), 6.034),
    "OpenAI, milliseconds": (openai("Please try again in 20ms."), 0.02),
    "OpenAI, minutes": (openai("Please try again in 1m2s."), 62),
    "Groq": (openai("Limit 6000, Used 5900. Please try again in 1m2.5s. Need more?"), 62.5),
    "Azure": (openai("Please retry after 26 seconds."), 26),
    "words": (openai("please retry your request in 2 minutes and more"), 120),
    "hours": (openai("resets in 1h"), 3600),
    "spaced": (openai("Try again in 1 hour 5 minutes 10 seconds"), 3910),
    "Google": (google(429, "RESOURCE_EXHAUSTED", "Quota", GOOGLE_MINUTE), 37),
    "Google, a day's": (google(429, "RESOURCE_EXHAUSTED", "Quota", GOOGLE_DAY, GOOGLE_MINUTE), 3600),
    "Google, a fraction": (google(429, "RESOURCE_EXHAUSTED", "Q", {"retryDelay": "37.25s"}), 37.25),
    "OpenRouter": ({"error": {"code": 429, "message": "m", "metadata": {"retry_after_seconds": 4.5}}}, 4.5),
    "as text": ({"error": {"message": "m", "retry_after": "4"}}, 4),
    "later": (openai("Please try again in a moment."), None),
    "no unit": (openai("try again in 5 attempts"), None),
    "nothing": (openai("No"), None),
    "huge": (openai(f"try again in {'9' * 400}s"), LONGEST),
    "not near the word": (openai("the request took 30s; try again"), None),
}


@pytest.mark.parametrize(("body", "seconds"), HINTS.values(), ids=HINTS)
def test_retry_after_in_bodies(body: Any, seconds: float | None):
    assert retry_after({}, encoded(body), NOW) == (None if seconds is None else pytest.approx(seconds))
    assert read_fault(429, {}, encoded(body), NOW).retry_after == (None if seconds is None else pytest.approx(seconds))
    assert retry_after({"retry-after": "1"}, encoded(body), NOW) == 1, "headers come first"


# What is not meant to be read -----------------------------------------------------------------------------------------

HOSTILE = {
    "deep lists": b"[" * 50_000,
    "deep lists, closed": b"[" * 50_000 + b"]" * 50_000,
    "deep objects": b'{"error":' * 50_000 + b"1" + b"}" * 50_000,
    "a megabyte of text": b"x" * 2**20,
    "a megabyte of message": b'{"error":{"message":"' + b"try again in 1 " * 70_000 + b'"}}',
    "digits": b'{"error":{"message":"try again in ' + b"1" * 2**20 + b's"}}',
    "a title that never ends": b"<title" * 100_000,
    "binary": bytes(range(256)) * 100,
    "not UTF-8": b'{"error":{"message":"\xe9chec","code":"\xff"}}',
    "half a character": b'{"error":{"message":"\\ud83e"}}',
    "a NUL": b'{"error":{"message":"\\u0000"}}',
    "a very big number": b'{"error":{"code":' + b"9" * 5000 + b"}}",
    "wrong types": b'{"error":{"message":[1],"type":{},"code":[],"param":5,"innererror":7}}',
    "empty": b"",
    "null": b"null",
    "an empty list": b"[]",
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("status", [200, 400, 429, 500])
def test_hostile_bodies_are_faults_too(status: int, body: bytes):
    fault = read_fault(status, {}, body, NOW)
    assert isinstance(fault, Fault)
    assert len(fault.message) <= max(len(body), 40)
    assert len((fault.body or "").encode()) <= 3 * BODY_KEPT


WORDS_OF_ERRORS = st.sampled_from(
    ["error", "message", "type", "code", "param", "detail", "msg", "status", "status_code", "innererror", "metadata",
     "retry_after", "retryDelay", "raw_status_code"]
)  # fmt: skip
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["429", "²³¹", "5s"])
)
ANY_JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS_OF_ERRORS, inner, max_size=4),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["retry-after", "retry-after-ms", "x-ratelimit-reset-requests", "x-ratelimit-reset", "x-ratelimit-remaining-tokens",
     "anthropic-ratelimit-tokens-reset", "x-ratelimit-reset-tokens"]
)  # fmt: skip
ODD = ["Mon, 01 Jan 0001 00:00:00 +9999", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "١٢", "1_000"]
NUMBERS = st.from_regex(r"[0-9.eE+-]{1,20}(s|ms|m|h|Z)?")
SAID = st.text(max_size=30) | NUMBERS | st.datetimes().map(str) | st.sampled_from(ODD)


@given(
    st.integers(100, 599),
    st.dictionaries(NAMES, SAID),
    ANY_JSON.map(lambda said: json.dumps(said).encode()) | st.binary(),
)
def test_reading_a_fault_never_raises(status: int, headers: dict[str, str], body: bytes):
    fault = read_fault(status, headers, body, NOW)
    assert fault.retry_after is None or 0 <= fault.retry_after <= LONGEST


@given(ANY_JSON)
def test_reading_an_error_inside_a_200_never_raises(said: Any):
    fault = read_error_object(said, json.dumps(said).encode(), NOW)
    assert fault.message


SIGNATURES = {
    "Google, another model": (400, "Invalid thought signature provided.", True),
    "Google, damaged": (400, "Corrupted thought signature.", True),
    "Anthropic": (400, "messages.1.content.0: Invalid `signature` in `thinking` block", True),
    # What is missing cannot be left out.
    "Google, missing": (400, "Function call is missing a thought_signature in functionCall parts.", False),
    "a signature of something else": (400, "The request signature is invalid.", False),
    "AWS": (403, "The request signature we calculated does not match the signature you provided.", False),
}


@pytest.mark.parametrize(("status", "message", "refused"), SIGNATURES.values(), ids=SIGNATURES)
def test_whether_thoughts_were_refused(status: int, message: str, refused: bool):
    fault = read_fault(status, {}, json.dumps({"error": {"message": message}}).encode(), NOW)
    assert refuses_signatures(fault) is refused
