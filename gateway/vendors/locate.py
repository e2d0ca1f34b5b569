"""Where a vendor's operations live: a base URL, as pasted, and a vendor's facts in; one explicit URL each out. Pure."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from msgspec.structs import replace

from gateway.vendors.base_url import HTTP, BaseURL, has_scheme, read_base_url, unwrapped
from gateway.vendors.vendor import Account, Operation, Routes, Vendor

Path = tuple[str, ...]

ENDPOINTS: tuple[Path, ...] = (
    ("chat", "completions"),
    ("completions",),
    ("embeddings",),
    ("models",),
    ("responses",),
    ("messages", "count_tokens"),
    ("messages",),
)
"""What people paste along with the base, longest first where one ends in another."""


def routes(vendor: Vendor, account: Account) -> Routes:
    """Where the account's calls go. Raises ``ValueError`` with a sentence saying what is wrong and what to do."""
    if vendor.locate is not None:
        return vendor.locate(vendor, account)
    pasted = given_base(vendor, account)
    query = with_api_version(pasted.query, account.api_version)
    base = replace(pasted, path=base_path(vendor, pasted), query=query)
    urls = urls_below(vendor, base)
    # A full endpoint at the root leaves no path to write down, and no path means the prefix: the endpoint stays.
    stands_alone = bool(base.path) or not own_prefix(vendor)
    return Routes(urls=urls, deployments=account.deployments, base=base.url() if stands_alone else urls["chat"])


def base_from_host(vendor: Vendor, value: str) -> str:
    """The base URL that a host (``OLLAMA_HOST``, ``OPENAI_HOST``) stands for: the vendor's own prefix goes below it.

    A bare host is read as the vendor's own base is: a local runtime is on http and on its usual port.
    """
    base = read_base_url(value, schemes_of(vendor))
    own = urlsplit(vendor.base_url or "")
    if not has_scheme(value):
        base = replace(base, scheme="http" if own.scheme == "http" else base.scheme, port=base.port or own.port)
    if vendor.locate is not None:
        return base.url()
    prefix = own_prefix(vendor)
    path, _ = without_endpoint(vendor, base.path)
    is_part_of_own = is_own_host(vendor, base) and is_part(path, prefix)
    return replace(base, path=prefix if is_part_of_own else overlapped(path, prefix)).url()


def given_base(vendor: Vendor, account: Account) -> BaseURL:
    text = unwrapped(account.base_url or "") or vendor.base_url
    if not text:
        raise ValueError(f"{vendor.title} has no address of its own: set base_url (or endpoint) to where it is served")
    return read_base_url(text, schemes_of(vendor))


def schemes_of(vendor: Vendor) -> tuple[str, ...]:
    return (*HTTP, urlsplit(vendor.base_url or "").scheme)


def base_path(vendor: Vendor, base: BaseURL) -> Path:
    """1. The vendor's own host with part of its prefix: the whole. 2. No path: the prefix. 3. A path: as it is.

    So a corporate prefix stays versionless, as the OpenAI SDK reads ``base_url``; so does a full endpoint at the root.
    """
    prefix = own_prefix(vendor)
    path, was_endpoint = without_endpoint(vendor, base.path)
    if is_own_host(vendor, base) and is_part(path, prefix):
        return prefix
    if not path and not was_endpoint:
        return prefix
    return path


def own_prefix(vendor: Vendor) -> Path:
    """A vendor without a base of its own is laid out as OpenAI is."""
    return segments(urlsplit(vendor.base_url).path) if vendor.base_url else ("v1",)


def is_own_host(vendor: Vendor, base: BaseURL) -> bool:
    own = urlsplit(vendor.base_url or "")
    return (base.host, base.port) == (own.hostname, own.port)


def is_part(path: Path, prefix: Path) -> bool:
    """Nothing, the beginning or the end of the prefix."""
    return path == prefix[: len(path)] or path == prefix[len(prefix) - len(path) :]


def overlapped(path: Path, prefix: Path) -> Path:
    """The prefix below the path, without repeating what the path already has of it."""
    if path[-1:] == prefix[-1:]:  # it ends in the version: whoever wrote it wrote a whole base
        return path
    common = next(count for count in range(len(prefix), -1, -1) if path[len(path) - count :] == prefix[:count])
    return path + prefix[common:]


def without_endpoint(vendor: Vendor, path: Path) -> tuple[Path, bool]:
    """The path without pasted endpoints, foreign suffixes and doubled versions; whether an endpoint went last."""
    foreign = tuple(segments(suffix) for suffix in vendor.strip)
    endpoints = (*(segments(own) for own in vendor.paths.values() if "{" not in own), *ENDPOINTS)
    was_endpoint = False
    while True:
        if suffix := tail(path, foreign):
            was_endpoint = False
        elif suffix := tail(path, endpoints):
            was_endpoint = True
        elif not (suffix := doubled(path, own_prefix(vendor))):
            return path, was_endpoint
        path = path[: -len(suffix)]


def tail(path: Path, suffixes: tuple[Path, ...]) -> Path:
    """The first of the suffixes that the path ends in."""
    lower = tuple(part.lower() for part in path)
    return next((suffix for suffix in suffixes if lower[-len(suffix) :] == suffix), ())


def doubled(path: Path, prefix: Path) -> Path:
    """What the path ends in twice and no API ends in twice: ``v1``, or all of the vendor's prefix."""
    version = path[-1:] if path and VERSION.fullmatch(path[-1]) else ()
    return next((part for part in (version, prefix) if part and path[-2 * len(part) :] == part * 2), ())


VERSION = re.compile(r"v\d+[a-z0-9]*")


def segments(path: str) -> Path:
    return tuple(part for part in path.split("/") if part)


def urls_below(vendor: Vendor, base: BaseURL) -> dict[Operation, str]:
    return {operation: url_below(base, path) for operation, path in vendor.paths.items()}


def url_below(base: BaseURL, path: str) -> str:
    below_host = path.removeprefix("{origin}")
    return base.url(path) if below_host == path else replace(base, path=()).url(below_host)


def with_api_version(query: str, api_version: str | None) -> str:
    """The query with this ``api-version``, unless it has one already: what came with the URL is the more exact."""
    pasted, others = split_api_version(query)
    version = pasted or clean_api_version(api_version)
    return "&".join(filter(None, (others, version and f"api-version={version}")))


def split_api_version(query: str) -> tuple[str, str]:
    """The ``api-version`` in a query, and the query without it."""
    pairs = [pair for pair in query.split("&") if pair]
    named = [pair for pair in pairs if pair.partition("=")[0].lower() == "api-version"]
    version = clean_api_version(named[0].partition("=")[2]) if named else ""
    return version, "&".join(pair for pair in pairs if pair not in named)


def clean_api_version(text: str | None) -> str:
    version = unwrapped(text or "")
    if not re.fullmatch(r"[A-Za-z0-9._-]*", version):
        raise ValueError("the api_version is not one: write it as 2024-10-21, or leave it out")
    return version
