"""Settings and a vendor's facts in; an account that is ready to be called out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

import msgspec

from gateway.config import Provider as Settings
from gateway.credentials import Credential, KeyCredential, TokenCredential
from gateway.credentials.fetched import BearerCredential, Fetched
from gateway.provider import Face, Provider
from gateway.resilience.keys import Keys
from gateway.vendors import Identity, Vendor, routes


def provider(
    name: str, settings: Settings, vendor: Vendor, before: Provider | None = None, propagate_to: Sequence[str] = ()
) -> Provider:
    """Its keys and tokens know what they knew before a reload, if it is still the same place."""
    rows = [row for row in (vendor, *vendor.faces) if not settings.dialect or row.dialect == settings.dialect]
    shared: dict[str, Credential] = {}
    faces = tuple(face(row, settings, shared) for row in rows)
    host = urlsplit(faces[0].routes.base).hostname or ""
    made = Provider(
        name=name,
        faces=faces,
        traced=any(fnmatchcase(host, pattern.strip("[]").lower()) for pattern in propagate_to),
        keys=Keys(settings.keys),
        headers=tuple((name.lower(), value) for name, value in settings.headers.items()),
        secrets=tuple(settings.headers.values()),
        windows=settings.windows,
        cache=settings.cache == "auto",
        transport=settings.transport,
    )
    if before is None or not same_place(made, before):
        return made
    return msgspec.structs.replace(made, keys=Keys(settings.keys, before.keys))


def face(row: Vendor, settings: Settings, shared: dict[str, Credential]) -> Face:
    """``shared`` holds what all faces of an account sign in with, by its kind."""
    if row.auth not in shared:
        shared[row.auth] = credential(row, settings)
    return Face(
        vendor=row,
        routes=routes(row, settings.account),
        credential=shared[row.auth],
        headers=tuple((name.lower(), value) for name, value in row.headers.items()),
    )


def same_place(one: Provider, other: Provider) -> bool:
    return one.vendor == other.vendor and one.routes.base == other.routes.base


def credential(vendor: Vendor, settings: Settings) -> Credential:
    """1. A ready-made token. 2. GitHub's token, which is only good for another. 3. Keys. 4. An identity. 5. Nothing."""
    if settings.ad_token:
        return TokenCredential(settings.ad_token)
    if vendor.identity == "github":
        return _IDENTITIES["github"](vendor, settings)
    if settings.keys and settings.credential is None:
        return KeyCredential("bearer" if vendor.auth == "sigv4" else vendor.auth)
    if vendor.identity in _IDENTITIES and _wanted(vendor, settings):
        return _IDENTITIES[vendor.identity](vendor, settings)
    return KeyCredential(vendor.auth)


def _wanted(vendor: Vendor, settings: Settings) -> bool:
    """Azure and Databricks have to be told that no key is meant."""
    asked = settings.credential == "default" or settings.client_id is not None
    return asked or vendor.identity in ("google", "aws")


def _entra(vendor: Vendor, settings: Settings) -> Credential:
    from gateway.credentials.entra import INSTALL, Entra

    return BearerCredential(Fetched(Entra(), INSTALL))


def _google(vendor: Vendor, settings: Settings) -> Credential:
    from gateway.credentials.google import INSTALL, Google

    return BearerCredential(Fetched(Google(settings.credentials_file), INSTALL))


def _aws(vendor: Vendor, settings: Settings) -> Credential:
    from gateway.credentials.aws import INSTALL, Aws, AwsKeys, SigV4Credential

    region = settings.account.region or ""
    if settings.access_key_id and settings.secret_access_key:
        keys = AwsKeys(settings.access_key_id, settings.secret_access_key, settings.session_token)
        return SigV4Credential(vendor.service, region, keys)
    return SigV4Credential(vendor.service, region, Fetched(Aws(settings.profile), INSTALL))


def _databricks(vendor: Vendor, settings: Settings) -> Credential:
    from gateway.credentials.databricks import Databricks

    host = urlsplit(routes(vendor, settings.account).base)
    source = Databricks(f"{host.scheme}://{host.netloc}", settings.client_id or "", settings.client_secret or "")
    return BearerCredential(Fetched(source))


def _github(vendor: Vendor, settings: Settings) -> Credential:
    from gateway.credentials.github_copilot import Copilot, CopilotCredential

    # An address of the operator's own is kept to, whatever comes with the token.
    follows = settings.account.base_url is None
    return CopilotCredential(lambda key: Copilot(key, follows=follows))


_IDENTITIES: Mapping[Identity, Callable[[Vendor, Settings], Credential]] = {
    "entra": _entra,
    "google": _google,
    "aws": _aws,
    "databricks": _databricks,
    "github": _github,
}
