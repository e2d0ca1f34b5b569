"""AWS Signature Version 4: a call and keys in, the headers that sign it out. Pure.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

import msgspec

from gateway.chat import Headers
from gateway.credentials import Unsigned

ALGORITHM = "AWS4-HMAC-SHA256"
# Whoever stands between may change these; those of the connection are never ours to sign.
_NOT_SIGNED = frozenset({"x-amzn-trace-id"})


class AwsKeys(msgspec.Struct, frozen=True):
    """``session_token`` comes with keys that end."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None


def signature(call: Unsigned, keys: AwsKeys, *, service: str, region: str, now: float) -> Headers:
    """The headers to be added to the call. ``now`` is epoch seconds; the host is sent as the URL has it."""
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    added = [("x-amz-date", stamp)]
    if keys.session_token:
        added.append(("x-amz-security-token", keys.session_token))
    signed = _to_be_signed((*call.headers, *added), call.url)
    names = ";".join(name for name, _ in signed)
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    to_sign = "\n".join((ALGORITHM, stamp, scope, _sha256(canonical_request(call, signed).encode())))
    key = f"AWS4{keys.secret_access_key}".encode()
    for part in (*scope.split("/"), to_sign):
        key = hmac.digest(key, part.encode(), "sha256")
    said = f"Credential={keys.access_key_id}/{scope}, SignedHeaders={names}, Signature={key.hex()}"
    return (*added, ("authorization", f"{ALGORITHM} {said}"))


def canonical_request(call: Unsigned, signed: Headers) -> str:
    """``signed``: the headers under the signature, in order."""
    parts = urlsplit(call.url)
    return "\n".join(
        (
            call.method,
            _canonical_path(parts.path),
            "&".join(sorted(pair if "=" in pair else f"{pair}=" for pair in parts.query.split("&") if pair)),
            *(f"{name}:{value}" for name, value in signed),
            "",
            ";".join(name for name, _ in signed),
            _sha256(call.body or b""),
        )
    )


def _canonical_path(path: str) -> str:
    """Encoded once more than it is sent: what was ``%3A`` is signed as ``%253A``. Dots and double slashes are gone."""
    kept: list[str] = []
    for part in path.split("/"):
        if part == "..":
            kept = kept[:-1]
        elif part not in ("", "."):
            kept.append(part)
    closing = "/" if kept and path.endswith("/") else ""
    return quote("/" + "/".join(kept) + closing, safe="/~")


def _to_be_signed(headers: Headers, url: str) -> Headers:
    """``content-type`` and everything of Amazon's own, beside the host."""
    found = {"host": urlsplit(url).netloc.rpartition("@")[2]}
    for name, value in headers:
        name = name.lower()
        if name == "content-type" or (name.startswith("x-amz") and name not in _NOT_SIGNED):
            found[name] = " ".join(value.split())
    return tuple(sorted(found.items()))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
