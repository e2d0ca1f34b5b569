"""Reading a vendor's refusal: what kind of fault it is, in whose words, and when to come back.

Sources: the vendors' own error pages and SDKs, gathered in the tables below. The body's code is asked before the
status, because vendors overload statuses (429 means a rate, a ramp, a capacity or an empty account).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from gateway.errors import Fault, FaultKind

BODY_KEPT = 2048

_CONTEXT = re.compile(
    r"context_length_exceeded|maximum context length|context[ _](?:window|length|size)|prompt is too long"
    r"|input is too long|too many tokens|exceeds? the maximum number of tokens|exceed context limit"
    r"|longer than the model's context|current length is .* while limit is|`inputs` tokens \+ `max_new_tokens`"
    r"|model_context_window_exceeded|maximum prompt length|exceed_context_size"
    r"|input tokens exceeded|too many input tokens"  # Bedrock: Nova, Cohere
    r"|input token count .{0,40}model only supports up to",  # Vertex
    re.IGNORECASE,
)
_REFUSED = re.compile(
    r"content_filter|ResponsibleAIPolicyViolation|content_policy_violation|invalid_prompt|content filtering policy"
    r"|content management policy|usage policy|CONTENT_POLICY_VIOLATION|flagged by moderation|requires moderation"
    r"|blocked by our content filters"  # Bedrock
    r"|deny-?listed token",  # Cohere
    re.IGNORECASE,
)
_BILLING = re.compile(
    r"insufficient_quota|credit_balance|spend_limit_(?:exceeded|reached)|usage_limit_exceeded|billing_hard_limit"
    r"|billing_not_active|credit balance|insufficient (?:balance|credit|funds|quota)|out of credits?|payment required"
    r"|limited to \d+ api calls ?/ ?month"  # Cohere's trial keys
    r"|credits are depleted|spending cap"  # Gemini
    r"|reached your specified (?:\w+ )?api usage limits",  # Anthropic: a limit its customer set, told as a 400
    re.IGNORECASE,
)
# Google says this of a rate too, and then when to come back.
_QUOTA = re.compile(r"exceeded your current quota", re.IGNORECASE)
_QUOTED = re.compile(r"(?<!\w)(?:'[^'\n]{0,400}'|\"[^\"\n]{0,400}\"|`[^`\n]{0,400}`)(?!\w)")
_KEY = re.compile(
    r"incorrect api key|invalid api key|invalid_api_key|organization has been disabled"
    # Gemini, the last of where it is called from
    r"|api key (?:not valid|not found|expired)|user location is not supported",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(
    r"model_not_found|model_decommissioned|deploymentnotfound|model_not_available|unknown_model|no_such_model"
    r"|unsupported_api_for_model"  # GitHub Copilot: it is to be had in another way only
    r"|invalid_model\b"  # Mistral
    r"|model .{0,80}(?:does not exist|not found|has been (?:retired|deprecated|decommissioned))"
    r"|model .{0,80}is not (?:supported|available)"
    r"|does not have access to (?:the )?model|not a valid model"
    # Bedrock and SageMaker
    r"|model identifier is invalid|(?:don.t have|do not have) access to the model|on-demand throughput isn.t supported"
    r"|model access is denied|endpoint \S{1,80} of account \d{1,20} not found"
    # Cohere, Databricks, Snowflake
    r"|model .{0,80}was removed on|rate limit of 0\b|unknown model|model .{0,80}is unavailable"
    # Vertex
    r"|not servable in region",
    re.IGNORECASE,
)
# Gemini: a file that another account has uploaded, or that is gone.
_NO_FILE = re.compile(r"permission to access the file", re.IGNORECASE)
_OVERLOADED = re.compile(
    r"overloaded|at capacity|capacity exceeded|over capacity|temporarily unavailable", re.IGNORECASE
)

_BY_STATUS = {
    401: FaultKind.BAD_CREDENTIALS,
    402: FaultKind.OUT_OF_CREDIT,
    403: FaultKind.BAD_CREDENTIALS,
    404: FaultKind.MODEL_MISSING,
    407: FaultKind.UNREACHABLE,  # not the vendor: the proxy on the way to it
    408: FaultKind.SERVER_ERROR,
    409: FaultKind.SERVER_ERROR,
    410: FaultKind.MODEL_MISSING,
    424: FaultKind.SERVER_ERROR,
    425: FaultKind.SERVER_ERROR,
    429: FaultKind.RATE_LIMITED,
    498: FaultKind.OVERLOADED,  # Groq's flex tier: capacity_exceeded
    499: FaultKind.SERVER_ERROR,  # Google: CANCELLED, not by us
    503: FaultKind.OVERLOADED,
    529: FaultKind.OVERLOADED,  # Anthropic
}
_BY_WORD = {
    "rate_limit_error": FaultKind.RATE_LIMITED,
    "rate_limit_exceeded": FaultKind.RATE_LIMITED,
    "rate_limited": FaultKind.RATE_LIMITED,
    "too_many_requests": FaultKind.RATE_LIMITED,
    "requests": FaultKind.RATE_LIMITED,
    "tokens": FaultKind.RATE_LIMITED,
    "slow_down": FaultKind.RATE_LIMITED,
    "overloaded_error": FaultKind.OVERLOADED,
    "server_is_overloaded": FaultKind.OVERLOADED,
    "service_unavailable": FaultKind.OVERLOADED,
    "provider_overloaded": FaultKind.OVERLOADED,
    "server_error": FaultKind.SERVER_ERROR,
    "api_error": FaultKind.SERVER_ERROR,
    "internal_error": FaultKind.SERVER_ERROR,
    "internal_server_error": FaultKind.SERVER_ERROR,
    "timeout": FaultKind.SERVER_ERROR,
    "authentication_error": FaultKind.BAD_CREDENTIALS,
    "permission_error": FaultKind.BAD_CREDENTIALS,
    "invalid_api_key": FaultKind.BAD_CREDENTIALS,
    "billing_error": FaultKind.OUT_OF_CREDIT,
    "timeout_error": FaultKind.SERVER_ERROR,
    "conflict_error": FaultKind.SERVER_ERROR,
    "not_found_error": FaultKind.MODEL_MISSING,
    "invalid_request_error": FaultKind.BAD_REQUEST,
    # OpenAI's Responses, inside a 200: https://platform.openai.com/docs/api-reference/responses/object
    "bio_policy": FaultKind.REFUSED,
    "misalignment_policy_violation": FaultKind.REFUSED,
    "data_residency_mismatch": FaultKind.BAD_REQUEST,
    "vector_store_timeout": FaultKind.SERVER_ERROR,
    "invalid_image": FaultKind.BAD_REQUEST,
    "invalid_image_format": FaultKind.BAD_REQUEST,
    "invalid_base64_image": FaultKind.BAD_REQUEST,
    "invalid_image_url": FaultKind.BAD_REQUEST,
    "image_too_large": FaultKind.BAD_REQUEST,
    "image_too_small": FaultKind.BAD_REQUEST,
    "image_parse_error": FaultKind.BAD_REQUEST,
    "invalid_image_mode": FaultKind.BAD_REQUEST,
    "image_file_too_large": FaultKind.BAD_REQUEST,
    "unsupported_image_media_type": FaultKind.BAD_REQUEST,
    "empty_image_file": FaultKind.BAD_REQUEST,
    "failed_to_download_image": FaultKind.BAD_REQUEST,
    "image_file_not_found": FaultKind.BAD_REQUEST,
    # Databricks: https://docs.databricks.com/api/workspace/introduction
    "request_limit_exceeded": FaultKind.RATE_LIMITED,
    "resource_exhausted": FaultKind.RATE_LIMITED,
    "temporarily_unavailable": FaultKind.OVERLOADED,
    "permission_denied": FaultKind.BAD_CREDENTIALS,
    "unauthenticated": FaultKind.BAD_CREDENTIALS,
    "endpoint_not_found": FaultKind.MODEL_MISSING,
    "resource_does_not_exist": FaultKind.MODEL_MISSING,
    "bad_request": FaultKind.BAD_REQUEST,
    "invalid_parameter_value": FaultKind.BAD_REQUEST,
    # Snowflake, also inside a 200: sessions and tokens that are unknown or have ended.
    "390104": FaultKind.BAD_CREDENTIALS,
    "390111": FaultKind.BAD_CREDENTIALS,
    "390112": FaultKind.BAD_CREDENTIALS,
    "390114": FaultKind.BAD_CREDENTIALS,
    "390144": FaultKind.BAD_CREDENTIALS,
    "390303": FaultKind.BAD_CREDENTIALS,
    "390318": FaultKind.BAD_CREDENTIALS,
}
# AWS names what happened in a header or in the frame, whatever the status:
# https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html
_BY_EXCEPTION = {
    "AccessDeniedException": FaultKind.BAD_CREDENTIALS,
    "ExpiredToken": FaultKind.BAD_CREDENTIALS,
    "ExpiredTokenException": FaultKind.BAD_CREDENTIALS,
    "IncompleteSignature": FaultKind.BAD_CREDENTIALS,
    "IncompleteSignatureException": FaultKind.BAD_CREDENTIALS,
    "InvalidClientTokenId": FaultKind.BAD_CREDENTIALS,
    "InvalidSignatureException": FaultKind.BAD_CREDENTIALS,
    "MissingAuthenticationToken": FaultKind.BAD_CREDENTIALS,
    "MissingAuthenticationTokenException": FaultKind.BAD_CREDENTIALS,
    "NotAuthorized": FaultKind.BAD_CREDENTIALS,
    "OptInRequired": FaultKind.BAD_CREDENTIALS,
    "UnrecognizedClientException": FaultKind.BAD_CREDENTIALS,
    "InternalDependencyException": FaultKind.SERVER_ERROR,
    "InternalFailure": FaultKind.SERVER_ERROR,
    "InternalServerException": FaultKind.SERVER_ERROR,
    "InternalStreamFailure": FaultKind.SERVER_ERROR,
    "ModelErrorException": FaultKind.SERVER_ERROR,
    "ModelError": FaultKind.SERVER_ERROR,
    "ModelStreamError": FaultKind.SERVER_ERROR,
    "ModelStreamErrorException": FaultKind.SERVER_ERROR,
    "ModelTimeoutException": FaultKind.SERVER_ERROR,
    "ModelNotReadyException": FaultKind.OVERLOADED,
    "ServiceUnavailable": FaultKind.OVERLOADED,
    "ServiceUnavailableException": FaultKind.OVERLOADED,
    "RequestLimitExceeded": FaultKind.RATE_LIMITED,
    "ServiceQuotaExceededException": FaultKind.RATE_LIMITED,
    "Throttling": FaultKind.RATE_LIMITED,
    "ThrottlingException": FaultKind.RATE_LIMITED,
    "TooManyRequestsException": FaultKind.RATE_LIMITED,
    "ResourceNotFoundException": FaultKind.MODEL_MISSING,
    "ValidationError": FaultKind.BAD_REQUEST,
    "ValidationException": FaultKind.BAD_REQUEST,
}


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """What a body said, whatever its shape."""

    message: str = ""
    type: str | None = None
    code: str | None = None
    param: str | None = None
    number: int | None = None
    """A status the body claims for itself (OpenRouter, Tetrate and others put it in ``code``)."""


def garbled(message: str, body: bytes = b"", kind: FaultKind = FaultKind.GARBLED) -> Fault:
    """An answer that cannot be read as one."""
    return Fault(kind=kind, message=message, body=body[:BODY_KEPT].decode(errors="replace") or None)


def read_fault(status: int, headers: Mapping[str, str], body: bytes, now: float) -> Fault:
    """A reply that is not an answer, as a fault. ``headers`` are lower-case; ``now`` is epoch seconds."""
    words, wait = read_words(body), retry_after(headers, body, now)
    if words.type is None and (exception := headers.get("x-amzn-errortype")):
        words = msgspec.structs.replace(words, type=_exception(exception))
    return Fault(
        kind=classify(status, words, wait is not None),
        message=words.message or f"HTTP {status} without a message",
        status=status,
        type=words.type,
        code=words.code,
        param=words.param,
        retry_after=wait,
        body=body[:BODY_KEPT].decode(errors="replace") or None,
    )


def read_error_object(error: Any, raw: bytes, now: float) -> Fault:
    """An error that came inside a 200, as the whole body or as an event of the stream."""
    words = _words_of(error if isinstance(error, dict) else {"error": error})
    if words.number:
        kind = classify(words.number, words)
    else:
        kind = _by_signature(words) or _by_words(words) or FaultKind.GARBLED
    return Fault(
        kind=kind,
        message=words.message or "an error without a message inside a 200",
        status=words.number,
        type=words.type,
        code=words.code,
        param=words.param,
        retry_after=retry_after({}, raw, now),
        body=raw[:BODY_KEPT].decode(errors="replace"),
    )


def read_exception(headers: Mapping[str, str], payload: bytes, now: float) -> Fault:
    """An error of AWS's that came as a message of an event stream. ``headers`` are the message's own."""
    name = headers.get(":exception-type") or headers.get(":error-code") or "unknown"
    words = read_words(payload) if payload else Words(message=headers.get(":error-message", ""))
    # In streams the names begin in lower case.
    words = msgspec.structs.replace(words, type=name[:1].upper() + name[1:])
    return Fault(
        kind=classify(words.number or _status_of_exception(words), words),
        message=words.message or f"{words.type} without a message",
        status=words.number,
        type=words.type,
        code=words.code,
        retry_after=retry_after({}, payload, now),
        body=payload[:BODY_KEPT].decode(errors="replace") or None,
    )


def _status_of_exception(words: Words) -> int:
    """What the status would have been, had it not come too late for one."""
    return 400 if _BY_EXCEPTION.get(words.type or "") in (FaultKind.BAD_REQUEST, FaultKind.BAD_CREDENTIALS) else 500


def _exception(name: str) -> str:
    """``com.amazon.coral.service#ThrottlingException:http://…`` is a ThrottlingException."""
    return name.partition(":")[0].rpartition("#")[2].strip()


def classify(status: int, words: Words, come_back: bool = False) -> FaultKind:
    """The kind of fault: what the body says, else what the status says. ``come_back``: the vendor said when."""
    aws = _by_aws(words)
    if aws in (FaultKind.RATE_LIMITED, FaultKind.OVERLOADED):
        return aws
    if status < 500 and (kind := _by_signature(words, status, come_back)):
        return kind
    if kind := aws or _BY_STATUS.get(status):
        return kind
    if status >= 500:
        return FaultKind.OVERLOADED if _OVERLOADED.search(words.message) else FaultKind.SERVER_ERROR
    # A redirect is never followed: it would carry the key to another host.
    return FaultKind.GARBLED if status < 400 else FaultKind.BAD_REQUEST


_SIGNATURES = re.compile(
    r"(?:invalid|corrupted|mismatched|expired).{0,40}signature"
    r"|signature.{0,60}(?:invalid|corrupted|mismatch|not valid)"
    # OpenAI's thoughts are sealed as a whole: https://github.com/openai/codex/issues/8145
    r"|encrypted[ _]content.{0,200}could not be (?:verified|decrypted)"
    # Anthropic, of a turn with tools that another vendor began: it cannot think in it.
    r"|expected .{0,40}thinking.{0,40}but found",
    re.IGNORECASE,
)


def refuses_signatures(fault: Fault) -> bool:
    """The vendor does not know the thoughts that were sent back as its own: another account's, or another model's.

    Google says "Invalid thought signature" or "Corrupted thought signature", Anthropic that the signature in a thinking
    block is invalid, OpenAI "The encrypted content gAAA… could not be verified".
    """
    about = re.search(r"thought|thinking|reasoning|encrypted", fault.message, re.IGNORECASE)
    return bool(fault.kind is FaultKind.BAD_REQUEST and about and _SIGNATURES.search(fault.message))


def _by_signature(words: Words, status: int | None = None, come_back: bool = False) -> FaultKind | None:
    tokens = " ".join(filter(None, (words.code, words.type)))
    # What stands in quotes is often the caller's own words, thrown back: they must not decide about our account.
    prose = _QUOTED.sub("", words.message[: BODY_KEPT * 4])
    said = f"{tokens} {prose}"
    # A 400 with a code of its own means what the code says.
    ours = tokens if status == 400 and words.code and words.code.isidentifier() else said
    if words.code == "string_above_max_length":
        return FaultKind.BAD_REQUEST
    # "Too many tokens" at 429 is a rate, not a window.
    if status != 429 and _CONTEXT.search(f"{tokens} {words.message[: BODY_KEPT * 4]}"):
        return FaultKind.CONTEXT_TOO_LONG
    if _BILLING.search(ours) or (_QUOTA.search(ours) and not come_back):
        return FaultKind.OUT_OF_CREDIT
    # Groq: a request that is too large for the tokens of a minute. Another target may have more.
    if status == 413 and words.code == "rate_limit_exceeded":
        return FaultKind.RATE_LIMITED
    if status in (None, 400, 403, 422) and _REFUSED.search(said):
        return FaultKind.REFUSED
    # Cohere: a token that its owner has put on a list. Groq's 498 has a code.
    if status == 498 and words.message and not tokens and not _OVERLOADED.search(words.message):
        return FaultKind.REFUSED
    if status == 403 and _NO_FILE.search(said):
        return FaultKind.BAD_REQUEST
    if status in (None, 400, 403, 404, 410, 422) and _NO_MODEL.search(said):
        return FaultKind.MODEL_MISSING
    if status == 400 and _KEY.search(ours):
        return FaultKind.BAD_CREDENTIALS
    return None


def _by_aws(words: Words) -> FaultKind | None:
    """What a container said behind SageMaker counts more than that it failed."""
    kind = _BY_EXCEPTION.get(words.type or "")
    # A marker where the model has no cache is refused as if the account were at fault.
    if kind is FaultKind.BAD_CREDENTIALS and "prompt caching" in words.message:
        return FaultKind.BAD_REQUEST
    if kind is FaultKind.SERVER_ERROR and words.number and words.number < 500:
        return _by_signature(words, words.number) or _BY_STATUS.get(words.number, FaultKind.BAD_REQUEST)
    return kind


def _by_words(words: Words) -> FaultKind | None:
    for word in (words.code, words.type):
        if word and (kind := _BY_WORD.get(word.lower())):
            return kind
    return FaultKind.OVERLOADED if _OVERLOADED.search(words.message) else None


def read_words(body: bytes) -> Words:
    """Message, type, code and param out of any of the shapes vendors use; text and HTML give a message alone."""
    try:
        return _words_of(msgspec.json.decode(body))
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors, as is that of bytes that are not UTF-8
        text = body[: BODY_KEPT * 4].decode(errors="replace")
        title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
        return Words(message=(title[1] if title else text).strip()[:500])


def _words_of(said: Any) -> Words:
    if isinstance(said, list) and said:
        said = said[0]
    if not isinstance(said, dict):
        return Words(message=str(said)[:500])
    inner = said.get("error", said)
    if isinstance(inner, str):
        code = said.get("code") or said.get("error_code")
        return Words(message=inner, code=_text(code), type=_text(said.get("type")))
    if not isinstance(inner, dict):
        inner = said
    message = next((inner[key] for key in _MESSAGES if inner.get(key)), "")
    if isinstance(message, list | dict):
        message = msgspec.json.encode(message).decode()[:500]
    return Words(
        message=str(message),
        type=_text(inner.get("type")) or _exception(_text(inner.get("__type")) or "") or _canonical(inner),
        code=_text(inner.get("code")) or _text(inner.get("error_code")) or _inner_code(inner),
        param=_text(inner.get("param")),
        number=_status_of(inner) or _status_of(said),
    )


# The last three are AWS's; what a container behind SageMaker said comes before what SageMaker says about it.
_MESSAGES = ("message", "detail", "error", "msg", "OriginalMessage", "originalMessage", "Message")
_STATUSES = (
    *("status", "status_code", "statusCode", "code", "raw_status_code"),
    *("OriginalStatusCode", "originalStatusCode"),
)


def _canonical(inner: dict[str, Any]) -> str | None:
    """Google's name of what happened, ``INVALID_ARGUMENT``: https://cloud.google.com/apis/design/errors"""
    status = inner.get("status")
    return status if isinstance(status, str) and re.fullmatch(r"[A-Z][A-Z_]{2,63}", status) else None


def _inner_code(inner: dict[str, Any]) -> str | None:
    deeper, details = inner.get("innererror"), inner.get("details")
    if isinstance(details, dict):  # Anthropic
        return _text(details.get("error_code"))
    return _text(deeper.get("code")) if isinstance(deeper, dict) else None


def _status_of(said: dict[str, Any]) -> int | None:
    for key in _STATUSES:
        value = said.get(key)
        if isinstance(value, str) and re.fullmatch(r"[0-9]{3}", value):
            value = int(value)
        if isinstance(value, int) and 400 <= value < 600:
            return value
    return None


def _text(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)


# Retry-After, in all its forms ----------------------------------------------------------------------------------------

_PARTS = re.compile(
    r"(\d+(?:\.\d+)?)\s*(ms|milliseconds?|h|hours?|m(?!s)|min(?:ute)?s?|s|sec(?:ond)?s?)(?![a-z])", re.I
)
_HINT = re.compile(
    r"(?:try again|retry(?: your request)?|reset[s]?|available)\s+(?:in|after)\s+((?:\d+(?:\.\d+)?\s*[a-z]+[\s,]*)+)",
    re.IGNORECASE,
)
_GOOGLE = re.compile(rb'"retryDelay"\s*:\s*"(\d+(?:\.\d+)?)s"')
# A day's quota that is used up. The delay that comes with it is a minute's all the same.
_GOOGLE_DAY = re.compile(rb'"quotaId"\s*:\s*"[^"]{0,200}PerDay')
DAY_IS_LONG = 3600.0
_OPENROUTER = re.compile(rb'"retry_after(?:_seconds)?"\s*:\s*"?(\d+(?:\.\d+)?)')
_LIMITS = ("requests", "tokens", "input-tokens", "output-tokens", "requests-day", "tokens-minute")
LONGEST = 7 * 86400.0


def retry_after(headers: Mapping[str, str], body: bytes, now: float) -> float | None:
    """Seconds until the vendor wants to be asked again, by its headers, else by its body; None when it says nothing."""
    seconds = _header_seconds(headers, now)
    if seconds is None:
        seconds = _body_seconds(body[: BODY_KEPT * 4])
    if seconds is None or math.isnan(seconds):
        return None
    return min(max(seconds, 0.0), LONGEST)


def _header_seconds(headers: Mapping[str, str], now: float) -> float | None:
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    if said := headers.get("retry-after"):
        seconds = _number(said)
        return seconds if seconds is not None else _date_seconds(said, now)
    return _reset_seconds(headers, now)


def _reset_seconds(headers: Mapping[str, str], now: float) -> float | None:
    """The reset of the limit that is used up; of all limits when none says what remains."""
    used_up, unknown = [], []
    for limit in _LIMITS:
        for reset_key, remaining_key in (
            (f"x-ratelimit-reset-{limit}", f"x-ratelimit-remaining-{limit}"),
            (f"anthropic-ratelimit-{limit}-reset", f"anthropic-ratelimit-{limit}-remaining"),
        ):
            seconds = _moment_seconds(headers.get(reset_key), now)
            if seconds is None:
                continue
            remaining = _number(headers.get(remaining_key))
            if remaining is None:
                unknown.append(seconds)
            elif remaining <= 0:
                used_up.append(seconds)
    if used_up or unknown:
        return max(used_up or unknown)
    return _moment_seconds(headers.get("x-ratelimit-reset"), now)


def _moment_seconds(said: str | None, now: float) -> float | None:
    """``6m0s``, ``7.66s``, ``12`` (seconds), unix seconds, unix milliseconds or RFC 3339: seconds from now."""
    if not said:
        return None
    number = _number(said)
    if number is not None:
        if number > 1e12:
            return number / 1000 - now
        return number - now if number > 1e9 else number
    if parts := _PARTS.findall(said):
        return _sum(parts)
    if "-" not in said:
        return None
    try:
        moment = datetime.fromisoformat(said.replace("Z", "+00:00"))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now


# The standard library finds a date in mere digits too.
_MONTH = re.compile(r"jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec", re.IGNORECASE)


def _date_seconds(said: str, now: float) -> float | None:
    if not _MONTH.search(said):
        return _moment_seconds(said, now)
    try:
        moment = parsedate_to_datetime(said)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now


def _body_seconds(body: bytes) -> float | None:
    if _GOOGLE_DAY.search(body):
        return DAY_IS_LONG
    if match := _GOOGLE.search(body) or _OPENROUTER.search(body):
        return float(match[1])
    if hint := _HINT.search(body.decode(errors="replace")):
        parts = _PARTS.findall(hint[1])
        return _sum(parts) if parts else None
    return None


def _sum(parts: list[tuple[str, str]]) -> float:
    return sum(float(number) * _unit_seconds(unit.lower()) for number, unit in parts)


def _unit_seconds(unit: str) -> float:
    if unit.startswith(("ms", "milli")):
        return 0.001
    return {"h": 3600.0, "m": 60.0}.get(unit[0], 1.0)


def _number(said: str | None) -> float | None:
    try:
        number = float(said) if said else None
    except ValueError:
        return None
    return number if number is not None and math.isfinite(number) and number >= 0 else None
