"""Brings what a request refers to by URL, for vendors that would not fetch it; from the public internet alone.

The URL is the caller's, the network is ours: whoever may chat must not be able to look around in it. So the host is
resolved once, every address it has is looked at, and the connection is made to the very address that was looked at.
Nothing of ours goes along: no keys, no cookies, no proxy. Redirects are followed by hand, each of them checked again.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import re
import socket
import ssl
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

from gateway.chat import Blob, Modality
from gateway.errors import Fault, FaultKind
from gateway.strand import parked
from gateway.wire.dialing import Address, start_of
from gateway.wire.incoming import Ask, Incoming
from gateway.wire.pool import Pool

if TYPE_CHECKING:
    import httpx

MAX_SIZE = 20 * 2**20
TIMEOUT = 10.0
CONNECT_TIMEOUT = 3.0
MOST_REDIRECTS = 3
MOST_ADDRESSES = 4
AT_ONCE = 8
LONGEST_URL = 8192
KEPT_FOR = 60.0
"""Each turn of a conversation refers to the same again."""
KEPT_BYTES = 64 * 2**20

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""A host and a port in, its addresses out. Raises ``OSError``."""


class _Unfit(Exception):
    """Why it was not brought."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Download(NamedTuple):
    content: bytes
    content_type: str
    path: str


class Media:
    """``allow``: hosts (or globs of them) that may be anywhere, our own network included."""

    def __init__(
        self,
        download: bool = True,
        allow: Sequence[str] = (),
        max_size: int = MAX_SIZE,
        timeout: float = TIMEOUT,
        *,
        resolve: Resolve | None = None,
        clock: Callable[[], float] = time.monotonic,
        tls: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        self._settings = (download, tuple(host.lower().strip("[]") for host in allow), max_size, timeout)
        self._resolve = resolve or _resolver()
        self._make_tls = tls or _default_tls
        self._tls: ssl.SSLContext | None = None
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._kept = Keeping(clock)

    def same_as(self, other: Media) -> bool:
        """Would the other bring the same?"""
        return self._settings == other._settings

    async def fetch(self, uri: str, modality: Modality | None = None) -> Blob | Fault:
        """What lies there. A fault is the caller's, and nobody would answer it differently."""
        download, _, _, timeout = self._settings
        if not download:
            return _fault("media_refused", f"this vendor fetches no URLs, and media.download is off: {shown(uri)}")
        blob = self._kept.get(uri)
        if blob is None:
            try:
                async with asyncio.timeout(timeout), self._slots:
                    blob = await asyncio.to_thread(read, await self._follow(uri))
            except _Unfit as error:
                return _fault(error.code, f"{shown(uri)}: {error}")
            except TimeoutError:
                return _fault("media_unreachable", f"{shown(uri)}: not there within {timeout:g} s")
            self._kept.put(uri, blob)
        if modality not in (None, "document", blob.modality):
            return _fault("media_unreadable", f"{shown(uri)}: {blob.mime_type} is there, where {modality} was expected")
        return blob

    async def _follow(self, uri: str) -> Download:
        url = parsed(uri)
        for _ in range(MOST_REDIRECTS + 1):
            found = await self._get(url)
            if isinstance(found, Download):
                return found
            url = redirected(url, found)
        raise _Unfit("media_unreachable", f"more than {MOST_REDIRECTS} redirects")

    async def _get(self, url: httpx.URL) -> Download | str:
        """What is there, or where it is said to be."""
        numbers = (await self._addresses(url))[:MOST_ADDRESSES]
        # Made for this one request: nothing that a vendor's connections know is shared with whoever the caller names.
        pool = Pool(self._context, lambda _: _located(url, tuple(numbers)))
        ask = Ask(method="GET", url=str(url), headers=_HEADERS, connect=CONNECT_TIMEOUT, fresh=True)
        answer = pool.send(ask)
        try:
            while not answer.status:
                if isinstance(broken := answer.take(), Fault):
                    raise _Unfit("media_unreachable", broken.message)
                await parked(answer)
            return await self._read(answer, url)
        finally:
            answer.close()
            await pool.close()

    async def _addresses(self, url: httpx.URL) -> Sequence[str]:
        host = _host(url)
        try:
            found = await self._resolve(host, _port(url))
        except (OSError, UnicodeError):
            raise _Unfit("media_unreachable", f"there is no host {host}") from None
        allowed = any(fnmatchcase(host.removesuffix("."), glob) for glob in self._settings[1])
        # One that is not public is enough: a name that leads to both is made to lead us astray.
        if not allowed and not all(map(is_public, found)):
            raise _Unfit(
                "media_refused", f"{host} is not on the public internet; an operator may list it in media.allow"
            )
        return found

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = self._make_tls()
        return self._tls

    async def _read(self, answer: Incoming, url: httpx.URL) -> Download | str:
        headers = answer.headers
        location = headers.get("location")
        if answer.status in (301, 302, 303, 307, 308) and location:
            return location
        if answer.status != 200:
            raise _Unfit("media_unreachable", f"the server answered {answer.status}")
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise _Unfit("media_unreadable", f"the server compressed it ({headers['content-encoding'][:20]})")
        content = await self._content(answer, headers.get("content-length", ""))
        return Download(content, headers.get("content-type", ""), url.path)

    async def _content(self, answer: Incoming, announced: str) -> bytes:
        limit, parts, size = self._settings[2], [], int(announced) if announced.isdecimal() else 0
        if size <= limit:
            size = 0
            while size <= limit and (chunk := answer.take()) != b"":
                if isinstance(chunk, Fault):
                    raise _Unfit("media_unreachable", chunk.message)
                if chunk is None:
                    await parked(answer)
                    continue
                parts.append(chunk)
                size += len(chunk)
        if size > limit:
            raise _Unfit("media_too_large", f"it is larger than {limit} bytes (media.max_size)")
        return b"".join(parts)


_HEADERS = (("user-agent", "skein"), ("accept", "*/*"), ("accept-encoding", "identity"), ("connection", "close"))


def _located(url: httpx.URL, numbers: tuple[str, ...]) -> tuple[Address, bytes]:
    """To the addresses that were looked at, never to the name: asked again, the name might have another.

    The certificate is to be the name's, and no proxy is asked: it would look for the name itself.
    """
    origin = f"{url.scheme}://{_host(url)}:{_port(url)}"
    address = Address(origin, url.scheme == "https", _host(url), _port(url), numbers=numbers)
    return address, start_of(url.raw_path.decode("ascii"), url.netloc.decode("ascii"))


class Keeping:
    """What was brought lately, the oldest given up first."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._blobs: OrderedDict[str, tuple[float, Blob]] = OrderedDict()
        self._size = 0

    def get(self, uri: str) -> Blob | None:
        self._give_up(0)
        found = self._blobs.get(uri)
        return found[1] if found else None

    def put(self, uri: str, blob: Blob) -> None:
        self._drop(uri)
        size = len(blob.content)
        if size <= KEPT_BYTES:
            self._give_up(size)
            self._blobs[uri] = (self._clock() + KEPT_FOR, blob)
            self._size += size

    def _give_up(self, room: int) -> None:
        """What is over, and what stands in the way of so many bytes: both are found at the old end."""
        now = self._clock()
        while self._blobs:
            uri, (ends, _) = next(iter(self._blobs.items()))
            if ends > now and self._size + room <= KEPT_BYTES:
                return
            self._drop(uri)

    def _drop(self, uri: str) -> None:
        if found := self._blobs.pop(uri, None):
            self._size -= len(found[1].content)


def _fault(code: str, message: str) -> Fault:
    return Fault(
        kind=FaultKind.BAD_REQUEST,
        message=message,
        origin="caller",
        status=400,
        type="invalid_request_error",
        code=code,
    )


def shown(uri: str) -> str:
    """For people: signed URLs have their secrets in the query."""
    try:
        parts = urlsplit(uri)
        said = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    except ValueError:
        said = uri.partition("?")[0].rpartition("@")[2]
    said = "".join(letter if letter.isprintable() else "?" for letter in said)
    return said if len(said) <= 200 else said[:200] + "…"


# Where one may go -----------------------------------------------------------------------------------------------------


def parsed(uri: str) -> httpx.URL:
    """One parser reads the URL, and what it understood is what is checked and called."""
    import httpx

    if len(uri) > LONGEST_URL:
        raise _Unfit("media_refused", f"the URL is longer than {LONGEST_URL} characters")
    try:
        url = httpx.URL(uri)
    except (httpx.InvalidURL, ValueError):
        raise _Unfit("media_refused", "this is no URL") from None
    if url.port is not None and not 0 < url.port < 65536:
        raise _Unfit("media_refused", "the port of the URL is none")
    if url.scheme not in ("http", "https"):
        raise _Unfit("media_refused", "this vendor does not fetch it, and only http and https can be fetched for it")
    if url.userinfo:
        raise _Unfit("media_refused", "a URL with credentials in it is not fetched")
    # Not ``host``, which is for people: it raises where a name is no Punycode.
    if not url.raw_host:
        raise _Unfit("media_refused", "the URL has no host")
    return url


def redirected(url: httpx.URL, location: str) -> httpx.URL:
    import httpx

    try:
        return parsed(str(url.join(location)))
    except (httpx.InvalidURL, ValueError):
        raise _Unfit("media_unreachable", "it is redirected to what is no URL") from None


def _host(url: httpx.URL) -> str:
    return url.raw_host.decode("ascii").lower()


def _port(url: httpx.URL) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


def _resolver() -> Resolve:
    """On threads of its own: a caller's names that nobody answers for must not hold up those of the vendors."""
    threads = ThreadPoolExecutor(AT_ONCE, "media-names")

    async def resolved(host: str, port: int) -> Sequence[str]:
        asked = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(threads, asked)
        return list(dict.fromkeys(str(each[4][0]) for each in found))

    return resolved


def _default_tls() -> ssl.SSLContext:
    import httpx

    return httpx.create_ssl_context()


UNICAST = IPv6Network("2000::/3")
"""All that has been given out of IPv6 for the public: https://www.iana.org/assignments/ipv6-address-space"""
NAT64 = IPv6Network("64:ff9b::/96")
# https://www.iana.org/assignments/iana-ipv4-special-registry and -ipv6-; Python's own tables differ by its version.
SPECIAL_IPV4 = tuple(
    IPv4Network(block)
    for block in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
        *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        "168.63.129.16/32",  # Azure's own server for its machines: public by its number only
    )
)
SPECIAL_IPV6 = tuple(IPv6Network(block) for block in ("2001::/23", "2001:db8::/32", "3fff::/20"))


def is_public(address: str) -> bool:
    """1. Of IPv6 only what is the public's. 2. IPv4, also where it is meant within IPv6: all but the special blocks."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, IPv6Address):
        inner = _within(found)
        if inner is None:
            return found in UNICAST and not any(found in block for block in SPECIAL_IPV6)
        found = inner
    return not any(found in block for block in SPECIAL_IPV4)


def _within(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that is meant: mapped, by NAT64 or by 6to4."""
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


# What was brought -----------------------------------------------------------------------------------------------------

MAGIC: Sequence[tuple[bytes, str]] = (
    (rb"\x89PNG\r\n\x1a\n", "image/png"),
    (rb"\xff\xd8\xff", "image/jpeg"),
    (rb"GIF8[79]a", "image/gif"),
    (rb"RIFF.{4}WEBP", "image/webp"),
    (rb"%PDF-", "application/pdf"),
)
SAY_NOTHING = (
    "",
    "application/octet-stream",
    "binary/octet-stream",
    "application/x-download",
    "application/force-download",
)
SAME: Mapping[str, str] = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "application/x-pdf": "application/pdf",
}
_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*")


def read(download: Download) -> Blob:
    """Raises ``_Unfit`` where nobody can say what it is."""
    if not download.content:
        raise _Unfit("media_unreadable", "it is empty")
    mime_type = type_of(download.content, download.content_type)
    modality = modality_of(mime_type)
    name = unquote(download.path.rpartition("/")[2])
    return Blob(
        modality=modality,
        mime_type=mime_type,
        content=base64.b64encode(download.content).decode("ascii"),
        name=name if modality == "document" and name.isprintable() and 0 < len(name) <= 200 else None,
    )


def type_of(content: bytes, said: str) -> str:
    """1. What the first bytes say, as servers guess by names. 2. What the server says. 3. Text, if it is."""
    for magic, mime_type in MAGIC:
        if re.match(magic, content[:16], re.DOTALL):
            return mime_type
    said = said.partition(";")[0].strip().lower()
    if said not in SAY_NOTHING and _TYPE.fullmatch(said):
        return SAME.get(said, said)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise _Unfit("media_unreadable", "neither the server nor its first bytes say what it is")
    return "text/plain"


def modality_of(mime_type: str) -> Modality:
    return MODALITIES.get(mime_type.partition("/")[0], "document")


MODALITIES: Mapping[str, Modality] = {"image": "image", "audio": "audio", "video": "video"}
