"""Signing in at AWS: keys from the settings, or from wherever AWS's own tools would take them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from gateway.credentials import Signed, Unsigned, by_key
from gateway.credentials.fetched import Fetched
from gateway.credentials.sigv4 import AwsKeys as AwsKeys
from gateway.credentials.sigv4 import signature
from gateway.errors import Fault
from gateway.vendors.aws_hosts import region_of

INSTALL = "botocore is not installed: pip install 'skein-gateway[aws]'"
# Keys that do not end are looked up anew after this long: a file may hold others by then.
LOOK_AGAIN_AFTER = 3600.0
# For hosts that are in no region, such as one on this machine.
DEFAULT_REGION = "us-east-1"


class SigV4Credential:
    """Signs each call with keys; a key of Bedrock's own (``AWS_BEARER_TOKEN_BEDROCK``) is sent as a bearer token."""

    def __init__(
        self, service: str, region: str, keys: Fetched[AwsKeys] | AwsKeys, clock: Callable[[], float] = time.time
    ) -> None:
        """``region`` is for hosts that are not AWS's own: those are in one, and no other is signed for there."""
        self._service, self._region, self._keys, self._clock = service, region, keys, clock

    async def sign(self, call: Unsigned, key: str | None) -> Signed | Fault:
        if key is not None:
            return by_key("bearer", key)
        keys = self._keys if isinstance(self._keys, AwsKeys) else await self._keys.get()
        if isinstance(keys, Fault):
            return keys
        region = region_of(urlsplit(call.url).hostname or "") or self._region or DEFAULT_REGION
        headers = signature(call, keys, service=self._service, region=region, now=self._clock())
        secrets = (headers[-1][1], headers[-1][1].rpartition("=")[2], keys.secret_access_key, keys.session_token or "")
        return Signed(headers, tuple(filter(None, secrets)))

    def refused(self, key: str | None) -> bool:
        return key is None and isinstance(self._keys, Fetched) and self._keys.forget()


class Aws:
    """botocore's chain: environment, assumed roles, web identity, SSO, files, processes, containers, the instance.

    The chain is walked anew each time, so a profile that was signed in again is found; roles that end come fresh.
    """

    NAME = "AWS"

    def __init__(self, profile: str | None = None, session: Any = None, clock: Callable[[], float] = time.time) -> None:
        """``session`` makes what botocore's ``Session`` is; left out, botocore is imported when first used."""
        self._profile, self._session, self._clock = profile, session, clock

    def fetch(self) -> tuple[AwsKeys, float]:
        if self._session is None:
            from botocore.session import Session  # type: ignore[import-untyped]

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
