"""How a provider signs in: which settings its vendor knows for it, which are missing, which are too many."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib.util import find_spec

import msgspec

from gateway.config.findings import Findings, child
from gateway.config.settings import Provider
from gateway.vendors import VENDORS, Identity, Vendor
from gateway.vendors.aws_hosts import region_of
from gateway.vendors.base_url import read_base_url

MASK = "********"
"""What `skein config show` writes in the place of a secret."""

NOT_IN_A_NAME = re.compile(r"[^\x21-\x7e]")
_SCHEME = "Snowflake "
"""Before the token of a session, which is given as Snowflake's own client sends it."""
_REGION = re.compile(r"[a-z][a-z0-9-]{0,62}")
_PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:_-]{0,127}")
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-prefixes
_ACCESS_KEY_ID = re.compile(r"A[KS]IA[A-Z0-9]{12,}")

AWS = ("profile", "access_key_id", "secret_access_key", "session_token")
CLIENT = ("client_id", "client_secret")
KNOWS: Mapping[Identity, tuple[str, ...]] = {
    "": (),
    "entra": ("credential", "ad_token"),
    "google": ("credential", "ad_token", "credentials_file", "region", "location", "project"),
    "aws": ("credential", *AWS, "region"),
    "databricks": CLIENT,
    "github": (),
}
"""Whose identities -> the settings that mean something to a vendor of theirs, beside keys."""
EXACT = tuple(dict.fromkeys(name for names in KNOWS.values() for name in names))
"""Settings that mean something to some vendors only."""
NEEDS: Mapping[Identity, tuple[str, ...]] = {"aws": ("region",), "google": ("project",)}
PAIRS: Mapping[str, str] = {
    "access_key_id": "secret_access_key",
    "secret_access_key": "access_key_id",
    "session_token": "access_key_id",
    "client_id": "client_secret",
    "client_secret": "client_id",
}
"""A setting -> the other one without which it is nothing."""
WAYS: Mapping[str, tuple[str, ...]] = {
    "api_key": ("api_key", "api_keys"),
    "ad_token": ("ad_token",),
    "access_key_id": ("access_key_id", "secret_access_key", "session_token"),
    "client_id": CLIENT,
    "credentials_file": ("credentials_file",),
    "credential": ("credential", "profile"),
}
"""Ways to sign in -> the settings that say so; one way is enough."""
EXAMPLES: Mapping[str, str] = {
    "region": "set region: ${AWS_REGION}, such as us-east-1",
    "project": "set project: ${GOOGLE_CLOUD_PROJECT}",
    "secret_access_key": "set secret_access_key: ${AWS_SECRET_ACCESS_KEY}",
    "access_key_id": "set access_key_id: ${AWS_ACCESS_KEY_ID}",
    "client_id": "set client_id: ${DATABRICKS_CLIENT_ID}",
    "client_secret": "set client_secret: ${DATABRICKS_CLIENT_SECRET}",
}


class Package(msgspec.Struct, frozen=True):
    """What fetches a cloud's credentials."""

    module: str
    name: str
    extra: str

    @property
    def remedy(self) -> str:
        of_checkout = f"from a checkout: .venv/bin/pip install -e '.[{self.extra}]'"
        return f"{self.name} is not installed: pip install 'skein-gateway[{self.extra}]' ({of_checkout})"


PACKAGES: Mapping[Identity, Package] = {
    "entra": Package("azure.identity", "azure-identity", "azure"),
    "google": Package("google.auth", "google-auth", "google"),
    "aws": Package("botocore", "botocore", "aws"),
}


def settled(provider: Provider, vendor: Vendor, env: Mapping[str, str]) -> Provider:
    """In AWS and in Google's cloud, who says nothing means what the machine offers; a host of AWS's says its region.

    Google's project is that of the credentials, as its own SDKs have it; a key needs none.
    """
    if vendor.identity not in ("aws", "google"):
        return provider
    region = provider.region or provider.location
    if vendor.identity == "aws" and region is None:
        region = _region_of(provider.base_url or vendor.base_url or "")
    credential = provider.credential if ways_of(provider) else "default"
    project = provider.project
    if vendor.identity == "google" and project is None and not provider.keys:
        # Brings the event loop along, which reading a configuration does not need otherwise.
        from gateway.credentials.google import project_of

        project = project_of(provider.credentials_file, env)
    return msgspec.structs.replace(provider, credential=credential, region=region, project=project)


def _region_of(base_url: str) -> str | None:
    try:
        return region_of(read_base_url(base_url).host)
    except ValueError:  # said where addresses are checked
        return None


def check(provider: Provider, vendor: Vendor, path: str, found: Findings) -> None:
    """Of one provider, in the order of its settings."""
    secret = ("api_key", "ad_token", "secret_access_key", "session_token", "client_secret")
    for name in secret:
        secrets({child(path, name): getattr(provider, name)}, found)
    secrets({found.item(child(path, "api_keys"), index): key for index, key in enumerate(provider.api_keys)}, found)
    if provider.api_key and provider.api_keys:
        found.add(child(path, "api_keys"), "is given beside api_key", "keep one of the two")
    _meaningless(provider, vendor, path, found)
    _access_key_id(provider, vendor, path, found)
    for name, other in PAIRS.items():
        where = child(path, other)
        if getattr(provider, name) and not getattr(provider, other) and not found.spoiled(where):
            found.add(where, f"is missing beside {name}", EXAMPLES[other])
    ways = ways_of(provider)
    if len(ways) > 1 and set(ways) <= {"api_key", *KNOWS[vendor.identity]}:
        written = (next(name for name in WAYS[way] if getattr(provider, name)) for way in ways)
        found.add(path, "signs in more than one way", f"keep one of {', '.join(written)}")
    _missing_key(provider, vendor, path, found)
    _missing_place(provider, vendor, path, found)


def ways_of(provider: Provider) -> list[str]:
    return [way for way, names in WAYS.items() if any(getattr(provider, name) for name in names)]


def knows(vendor: Vendor) -> set[str]:
    """The settings of ``EXACT`` that mean something to it."""
    # A vendor of an installed package may locate itself by them.
    of_code = {"region", "project"} if vendor.locate is not None and vendor.name not in VENDORS else set()
    return {*KNOWS[vendor.identity], *of_code}


def takes_keys(vendor: Vendor) -> bool:
    """Of AWS, Bedrock alone has keys: https://docs.aws.amazon.com/bedrock/latest/userguide/api-keys.html"""
    return vendor.auth != "sigv4" or vendor.service == "bedrock"


def without_package(provider: Provider, vendor: Vendor) -> Package | None:
    """What would have to be installed for this provider to sign in."""
    fetches = provider.credential or provider.profile or provider.credentials_file
    package = PACKAGES.get(vendor.identity)
    return package if fetches and package and not is_installed(package.module) else None


def is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ImportError:  # not even the package it would be in
        return False


def secrets(values: Mapping[str, str | None], found: Findings) -> None:
    """Keys go into a header: what cannot stand there would fail at the first call."""
    for path, secret in values.items():
        if secret and secret.lower().startswith("bearer "):
            found.add(path, 'begins with "Bearer"', "give the key alone")
        elif secret and NOT_IN_A_NAME.search(secret.removeprefix(_SCHEME)):
            found.add(path, "holds a space, a line break or another character no key has")
        elif secret == MASK:
            found.add(path, "is masked", "this was printed by `skein config show`: put the secret itself there")
    seen: set[str] = set()
    for path, secret in values.items():
        if secret in seen and secret != MASK:
            found.add(path, "is the same key as another one")
        seen.add(secret or "")


def _meaningless(provider: Provider, vendor: Vendor, path: str, found: Findings) -> None:
    for name in EXACT:
        if getattr(provider, name) and name not in knows(vendor):
            having = [each.name for each in VENDORS.values() if name in KNOWS[each.identity]]
            only = f"only {_either(having)} has it" if having else "take it out"
            remedy = f"{only}; set api_key" if name in ("credential", "ad_token") else only
            found.add(child(path, name), f"means nothing to {vendor.name}", remedy)
    if provider.keys and not takes_keys(vendor):
        remedy = "it signs each call: set access_key_id and secret_access_key, or credential: default"
        found.add(
            child(path, "api_keys" if provider.api_keys else "api_key"), f"means nothing to {vendor.name}", remedy
        )
    if provider.region and provider.location and provider.region != provider.location and "location" in knows(vendor):
        found.add(child(path, "location"), "is given beside region, which means the same", "keep one of the two")


def _access_key_id(provider: Provider, vendor: Vendor, path: str, found: Findings) -> None:
    if vendor.identity != "aws":
        return
    if provider.api_key and _ACCESS_KEY_ID.fullmatch(provider.api_key):
        remedy = "set access_key_id and secret_access_key; api_key is for a Bedrock API key"
        found.add(child(path, "api_key"), "is the id of an access key", remedy)
    if provider.access_key_id and NOT_IN_A_NAME.search(provider.access_key_id):
        found.add(child(path, "access_key_id"), "holds a space or another character no id has")


def _missing_key(provider: Provider, vendor: Vendor, path: str, found: Findings) -> None:
    # At an address of the operator's own nobody but the operator knows whether a key is asked for.
    spoiled = any(found.spoiled(child(path, name)) for name in ("base_url", "endpoint"))
    elsewhere = vendor.base_url is not None and (provider.base_url is not None or spoiled)
    said = any(found.spoiled(child(path, name)) for names in WAYS.values() for name in names)
    if vendor.key_required and not ways_of(provider) and not elsewhere and not said:
        found.add(child(path, "api_key"), "is missing", key_remedy(vendor))


def key_remedy(vendor: Vendor) -> str:
    remedy = f'set api_key: "${{{vendor.key_env[0]}}}"' if vendor.key_env else "set it"
    if vendor.identity == "databricks":
        return f"{remedy}, or client_id and client_secret"
    return f"{remedy}, or credential: default" if "credential" in KNOWS[vendor.identity] else remedy


def _missing_place(provider: Provider, vendor: Vendor, path: str, found: Findings) -> None:
    """Google's keys know their project; a signature of AWS holds the region wherever the call goes."""
    base = provider.base_url or ""
    is_said = (bool(provider.keys) and (vendor.identity == "google" or bool(base))) or "/projects/" in base
    for name in NEEDS.get(vendor.identity, ()):
        where = child(path, name)
        if not getattr(provider, name) and not is_said and not found.spoiled(where):
            found.add(where, "is missing", EXAMPLES[name])
    for name, pattern in (("region", _REGION), ("location", _REGION), ("project", _PROJECT)):
        text = getattr(provider, name)
        if text and name in knows(vendor) and not pattern.fullmatch(text):
            example = "europe-west1 or us-east-1" if pattern is _REGION else "my-project"
            found.add(child(path, name), f"cannot be a {name}", f"write it as {example}")


def _either(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last
