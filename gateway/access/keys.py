"""Callers' keys: kept hashed, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import msgspec


class Caller(msgspec.Struct, frozen=True):
    """Who is calling, and the models they may use (globs; None: all)."""

    name: str
    models: tuple[str, ...] | None = None

    def may_use(self, asked: str, resolved: str) -> bool:
        """May the caller use a model, by the name they asked for or the one it resolved to?"""
        if self.models is None:
            return True
        return any(fnmatchcase(name, glob) for glob in self.models for name in (asked, resolved))


ANYONE = Caller("anonymous")


class Doorkeeper:
    """``keys`` are (caller, key); with none of them everybody comes in."""

    def __init__(self, keys: Sequence[tuple[Caller, str]], *, required: bool) -> None:
        self._known = [(_digest(key), caller) for caller, key in keys]
        self.required = required

    def admit(self, headers: Mapping[str, str]) -> Caller | None:
        """The caller behind the request's key; None when there has to be one and is not."""
        if not self.required:
            return ANYONE
        presented = presented_key(headers)
        if not presented:
            return None
        digest = _digest(presented)
        found = None
        for known, caller in self._known:
            # No early exit: the time taken says nothing about which keys exist.
            if hmac.compare_digest(known, digest):
                found = caller
        return found


def presented_key(headers: Mapping[str, str]) -> str | None:
    """``Authorization: Bearer``, ``api-key``, ``x-api-key`` or ``x-goog-api-key``, whichever the client uses."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return next((headers[name] for name in ("api-key", "x-api-key", "x-goog-api-key") if headers.get(name)), None)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
