"""What a base URL says, however it was pasted; or a sentence about what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import quote, unquote

import msgspec

UNIX = "http+unix"
"""A unix socket: ``http+unix://%2Frun%2Fllm.sock/v1``, its path percent-encoded where a host would be."""
HTTP = ("http", "https", UNIX)


class BaseURL(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a base URL, clean: path segments are percent-encoded and none is empty, a fragment is gone."""

    scheme: str
    host: str
    port: int | None = None
    path: tuple[str, ...] = ()
    query: str = ""

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.host}" if self.port is None else f"{self.scheme}://{self.host}:{self.port}"

    def url(self, path: str = "") -> str:
        """The URL of a path below this base; the query goes along."""
        return "/".join((self.origin, *self.path)) + path + (f"?{self.query}" if self.query else "")


def read_base_url(text: str, schemes: Collection[str] = HTTP) -> BaseURL:
    """Raises ``ValueError`` with what is wrong and what to do; never with the user's secrets in it."""
    text = unwrapped(text)
    if not text:
        raise ValueError("the base URL is empty: give one such as https://llm.example.com/v1")
    if not text.isprintable() or " " in text or "\\" in text:
        raise ValueError("the base URL has white space, a backslash or an invisible character in it: type it anew")
    scheme, rest = scheme_of(text, schemes)
    rest, _, query = rest.partition("#")[0].partition("?")
    authority, _, path = rest.partition("/")
    if "@" in authority:
        raise ValueError("the base URL holds credentials: take out what is before the @ and set api_key instead")
    host, port = (socket_path(authority), None) if scheme == UNIX else host_and_port(authority)
    return BaseURL(
        scheme=scheme or ("http" if is_local(host) else "https"),
        host=host,
        port=port,
        path=tuple(clean_segment(part) for part in path.split("/") if part),
        query=escaped(query, safe="%/?:@!$&'()*+,;=-._~"),
    )


def unwrapped(text: str) -> str:
    """Without what comes along when text is copied out of a shell, a document or a YAML file."""
    return text.strip(" \t\r\n\f\v\u00a0\ufeff\"'`<>")


def has_scheme(text: str) -> bool:
    return SCHEME.match(unwrapped(text)) is not None


SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
SLIPPED = re.compile(r"https?(:|//)", re.IGNORECASE)


def scheme_of(text: str, schemes: Collection[str]) -> tuple[str, str]:
    """``localhost:1234`` is a host and a port, not a scheme called localhost: only ``://`` makes a scheme."""
    found = SCHEME.match(text)
    if found is None and SLIPPED.match(text):
        raise ValueError("the base URL has a slip in its scheme: begin it with https:// or http://")
    if found is None:
        return "", text.removeprefix("//")
    scheme = found[1].lower()
    if scheme not in schemes:
        raise ValueError(f'no vendor is called by "{scheme}://": begin the base URL with https:// or http://')
    return scheme, text[found.end() :]


def socket_path(authority: str) -> str:
    path = unquote(authority)
    # Longer ones the system does not take: https://man7.org/linux/man-pages/man7/unix.7.html
    if not path.startswith("/") or len(path) > 107 or not path.isascii() or "%" in path:
        raise ValueError("the base URL names no unix socket: write it as http+unix://%2Frun%2Fllm.sock/v1")
    return quote(path, safe="")


def host_and_port(authority: str) -> tuple[str, int | None]:
    bracketed = re.fullmatch(r"\[([^]]*)](?::(\d*))?", authority)
    if bracketed or authority.count(":") > 1:
        host, port = bracketed.groups("") if bracketed else (authority, "")
        return f"[{ipv6(host)}]", port_number(port)
    host, _, port = authority.partition(":")
    return host_name(host), port_number(port)


def ipv6(text: str) -> str:
    try:
        address = IPv6Address(text)
    except ValueError:
        raise ValueError("the host is not an IPv6 address: write it as http://[::1]:8000/v1") from None
    if address.scope_id is not None:
        raise ValueError("the host is an IPv6 address with a zone: use an address that needs none")
    return str(address)


def host_name(text: str) -> str:
    try:
        host = (text if text.isascii() else text.encode("idna").decode()).lower()
    except UnicodeError:
        host = ""
    if len(host) > 253 or not HOST.fullmatch(host):
        raise ValueError("the base URL has no valid host name: write it as https://llm.example.com/v1")
    return host


HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*\.?")


def port_number(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) <= 65535):
        raise ValueError("the port of the base URL is not a number from 1 to 65535")
    return int(text)


def is_local(host: str) -> bool:
    """A host on this machine or in its private network, where nobody has a certificate."""
    if host.startswith("["):
        return any(IPv6Address(host[1:-1]) in network for network in LOCAL_IPV6)
    try:
        return any(IPv4Address(host) in network for network in LOCAL_IPV4)
    except ValueError:
        name = host.removesuffix(".")
        return "." not in name or name.endswith((".local", ".localhost", ".docker.internal", ".containers.internal"))


LOCAL_IPV4 = [
    IPv4Network(block)
    for block in ("0.0.0.0/32", "10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16")
]
LOCAL_IPV6 = [IPv6Network(block) for block in ("::/127", "fc00::/7", "fe80::/10")]


def clean_segment(text: str) -> str:
    if unquote(text) in (".", ".."):
        raise ValueError("the path of the base URL has . or .. in it: write the path out")
    return escaped(text, safe="%:@!$&'()*+,;=~")


def escaped(text: str, safe: str) -> str:
    """Fit for the wire. What is percent-encoded already stays so; a lone percent sign is encoded, and so are braces."""
    return quote(re.sub("%(?![0-9A-Fa-f]{2})", "%25", text), safe=safe)
