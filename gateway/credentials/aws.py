"""Signing in at AWS: keys from the settings, or from wherever AWS's own tools would take them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from gateway.credentials import Signed, Unsigned, by_key
from gateway.credentials.fetched import Fetched
from gateway.credentials.sigv4 import AwsKeys as AwsKeys
from gateway.credentials.sigv4 import signature
from gateway.errors import Fault

INSTALL = "botocore is not installed: pip install 'skein-gateway[aws]'"
# Keys that do not end are looked up anew after this long: a file may hold others by then.
LOOK_AGAIN_AFTER = 3600.0
# Of a host that names no region, such as one on this machine.
DEFAULT_REGION = "us-east-1"
_REGION_IN_HOST = re.compile(r"(?:^|\.)((?:[a-z]{2}|eusc)(?:-[a-z]+)+-\d)(?:\.|$)")


class SigV4Credential:
    """Signs each call with keys; a key of Bedrock's own (``AWS_BEARER_TOKEN_BEDROCK``) is sent as a bearer token."""

    def __init__(
        self, service: str, region: str, keys: Fetched[AwsKeys] | AwsKeys, clock: Callable[[], float] = time.time
    ) -> None:
        """``region``: empty where the host says it."""
        self._service, self._region, self._keys, self._clock = service, region, keys, clock

    async def sign(self, call: Unsigned, key: str | None) -> Signed | Fault:
        if key is not None:
            return by_key("bearer", key)
        keys = self._keys if isinstance(self._keys, AwsKeys) else await self._keys.get()
        if isinstance(keys, Fault):
            return keys
        region = self._region or region_of(call.url)
        headers = signature(call, keys, service=self._service, region=region, now=self._clock())
        secrets = (headers[-1][1], headers[-1][1].rpartition("=")[2], keys.secret_access_key, keys.session_token or "")
        return Signed(headers, tuple(filter(None, secrets)))


def region_of(url: str) -> str:
    """The region that a host of AWS's is in: the last one it names."""
    named = _REGION_IN_HOST.findall(urlsplit(url).hostname or "")
    return named[-1] if named else DEFAULT_REGION


class Aws:
    """botocore's chain: environment, assumed roles, web identity, SSO, files, processes, containers, the instance.

    The chain is walked anew each time, so a profile that was signed in again is found; roles that end come fresh.
    """

    NAME = "AWS"

    def __init__(
        self, profile: str | None = None, session: Any = None, clock: Callable[[], float] = time.time
    ) -> None:
        """``session``: makes what botocore's ``Session`` is, given a profile; left out, botocore is imported when first used."""
        self._profile, self._session, self._clock = profile, session, clock

    def fetch(self) -> tuple[AwsKeys, float]:
        if self._session is None:
            from botocore.session import Session

            self._session = Session
        found = self._session(profile=self._profile).get_credentials()
        if found is None:
            raise LookupError(
                "no AWS credentials here: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        keys = found.get_frozen_credentials()
        # botocore tells nobody when they end but itself; keys that do not end have no such attribute.
        ends = getattr(found, "_expiry_time", None)
        return (
            AwsKeys(keys.access_key, keys.secret_key, keys.token),
            ends.timestamp() if ends is not None else self._clock() + LOOK_AGAIN_AFTER,
        )
