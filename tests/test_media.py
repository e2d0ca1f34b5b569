"""What a request refers to by URL: what is brought, and where nobody may look."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway import media as module
from gateway.chat import Blob
from gateway.errors import Fault, FaultKind
from gateway.media import KEPT_BYTES, KEPT_FOR, Keeping, Media, is_public, shown
from gateway.wire import dialing
from tests.scripted import hanging, refusing
from tests.serving import Asked, Says, serving
from tests.wire.peers import certificate, peers, polite

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20
JPEG, GIF, WEBP = b"\xff\xd8\xff\xe0" + b"\0" * 20, b"GIF89a" + b"\0" * 20, b"RIFF\x10\0\0\0WEBPVP8 "
PDF = b"%PDF-1.7\n\xff"
HERE = ("127.0.0.1",)


def fetch(media: Media, uri: str, modality: Any = None) -> Blob | Fault:
    return asyncio.run(media.fetch(uri, modality))


def refusal(found: Blob | Fault) -> tuple[str | None, str]:
    """The fault's code and words; it is the caller's in every case."""
    assert isinstance(found, Fault)
    assert (found.kind, found.origin, found.status) == (FaultKind.BAD_REQUEST, "caller", 400)
    assert found.type == "invalid_request_error"
    return found.code, found.message


# --- what is brought -------------------------------------------------------------------------------------------------

BROUGHT: dict[str, tuple[bytes, str | None, tuple[str, str, str | None]]] = {
    # content, content-type as said, modality, type and name
    "a PNG": (PNG, "image/png", ("image", "image/png", None)),
    "a PNG that is called a JPEG": (PNG, "image/jpeg", ("image", "image/png", None)),
    "a JPEG": (JPEG, "image/jpg", ("image", "image/jpeg", None)),
    "a JPEG of which nothing is said": (JPEG, None, ("image", "image/jpeg", None)),
    "a GIF": (GIF, "application/octet-stream", ("image", "image/gif", None)),
    "a WebP": (WEBP, "binary/octet-stream", ("image", "image/webp", None)),
    "an image of another kind": (b"<svg/>", "image/svg+xml; charset=utf-8", ("image", "image/svg+xml", None)),
    "a JPEG by another name": (b"x", "Image/PJPEG", ("image", "image/jpeg", None)),
    "a PDF": (PDF, "application/octet-stream", ("document", "application/pdf", "f ile.bin")),
    "a sound": (b"ID3", "audio/mpeg", ("audio", "audio/mpeg", None)),
    "a film": (b"....ftyp", "video/mp4", ("video", "video/mp4", None)),
    "a text": (b"hello", "text/markdown; charset=utf-8", ("document", "text/markdown", "f ile.bin")),
    "a text of which nothing is said": ("grüß".encode(), None, ("document", "text/plain", "f ile.bin")),
    "a type that is none": (b"hello", "what/ever you/want", ("document", "text/plain", "f ile.bin")),
}


@pytest.mark.parametrize(("content", "said", "brought"), BROUGHT.values(), ids=BROUGHT)
def test_what_it_is(content: bytes, said: str | None, brought: tuple[str, str, str | None]):
    headers = {} if said is None else {"content-type": said}
    with serving(lambda asked: Says(200, content, headers)) as server:
        found = fetch(Media(allow=HERE), f"{server.url}/a/f%20ile.bin?sig=x#page")
    assert isinstance(found, Blob)
    assert (found.modality, found.mime_type, found.name) == brought
    assert base64.b64decode(found.content) == content


def test_nothing_of_ours_goes_along(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    says = Says(200, PNG, {"set-cookie": "who=me", "content-type": "image/png"})
    with serving(lambda asked: says) as server:
        media = Media(allow=HERE)
        assert isinstance(fetch(media, f"{server.url}/one?q=1"), Blob)
        assert isinstance(fetch(media, f"{server.url}/two"), Blob)
    assert [asked.path for asked in server.asked] == ["/one?q=1", "/two"]
    assert all(
        asked.headers
        == {
            "host": server.host,
            "user-agent": "skein",
            "accept": "*/*",
            "accept-encoding": "identity",
            "connection": "close",
        }
        for asked in server.asked
    )


def answered(says: Says | Callable[[Asked], Says], **settings: Any) -> tuple[str | None, str]:
    answer = says if callable(says) and not isinstance(says, Says) else lambda asked: says
    with serving(answer) as server:
        code, message = refusal(fetch(Media(**{"allow": HERE, **settings}), f"{server.url}/x?sig=secret"))
    assert message.startswith(f"{server.url}/x: ")
    assert "secret" not in message
    return code, message.removeprefix(f"{server.url}/x: ")


BINARY = b"\x00\x01\x02\xff"
NOT_BROUGHT: dict[str, tuple[Says, dict[str, Any], tuple[str, str]]] = {
    "nothing there": (Says(404, b"no"), {}, ("media_unreachable", "the server answered 404")),
    "half of it": (Says(206, PNG), {}, ("media_unreachable", "the server answered 206")),
    "a redirect to nowhere": (Says(302), {}, ("media_unreachable", "the server answered 302")),
    "nothing in it": (Says(200), {}, ("media_unreadable", "it is empty")),
    "who knows what": (
        Says(200, BINARY, {"content-type": "application/octet-stream"}),
        {},
        ("media_unreadable", "neither the server nor its first bytes say what it is"),
    ),
    "compressed": (
        Says(200, b"\x1f\x8b", {"content-encoding": "gzip"}),
        {},
        ("media_unreadable", "the server compressed it (gzip)"),
    ),
    "too large, and says so": (
        Says(200, PNG),
        {"max_size": 10},
        ("media_too_large", "it is larger than 10 bytes (media.max_size)"),
    ),
    "too large, in chunks": (
        Says(200, b"c\r\nhello, world\r\n0\r\n\r\n", {"content-length": "", "transfer-encoding": "chunked"}),
        {"max_size": 10},
        ("media_too_large", "it is larger than 10 bytes (media.max_size)"),
    ),
}


@pytest.mark.parametrize(("says", "settings", "told"), NOT_BROUGHT.values(), ids=NOT_BROUGHT)
def test_what_is_not_brought(says: Says, settings: dict[str, Any], told: tuple[str, str]):
    assert answered(says, **settings) == told


def test_what_fits_exactly_is_brought():
    with serving(lambda asked: Says(200, PNG)) as server:
        assert isinstance(fetch(Media(allow=HERE, max_size=len(PNG)), server.url), Blob)


def test_an_endless_answer_ends():
    """It never sends more than it was let: the size is looked at while reading."""
    chunk = b"x" * 65536

    async def story() -> tuple[Blob | Fault, int]:
        written = 0

        async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal written
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n")
            try:
                while True:
                    writer.write(chunk)
                    written += len(chunk)
                    await writer.drain()
            except ConnectionError:
                writer.close()

        server = await asyncio.start_server(pour, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await Media(allow=HERE, max_size=2**20).fetch(f"http://127.0.0.1:{port}/"), written

    found, written = asyncio.run(story())
    assert refusal(found)[0] == "media_too_large"
    assert written < 32 * 2**20


def test_a_server_that_says_nothing_is_left():
    gate = threading.Event()

    def silent(asked: Asked) -> Says:
        gate.wait(10)
        return Says(200, PNG)

    code, said = answered(silent, timeout=0.05)
    gate.set()
    assert (code, said) == ("media_unreachable", "not there within 0.05 s")


def test_a_host_that_does_not_connect():
    with refusing() as url:
        assert refusal(fetch(Media(allow=HERE), url))[0] == "media_unreachable"
    with hanging() as url:
        assert refusal(fetch(Media(allow=HERE, timeout=0.1), url))[0] == "media_unreachable"


def test_a_server_that_speaks_something_else():
    async def story() -> Blob | Fault:
        async def mumble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 mail ready\r\n")
            writer.close()

        server = await asyncio.start_server(mumble, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await Media(allow=HERE).fetch(f"http://127.0.0.1:{port}/")

    assert refusal(asyncio.run(story()))[0] == "media_unreachable"


def test_something_else_than_was_meant():
    with serving(lambda asked: Says(200, b"<html>log in", {"content-type": "text/html"})) as server:
        media = Media(allow=HERE)
        code, said = refusal(fetch(media, server.url, "image"))
        assert code == "media_unreadable"
        assert said.endswith("text/html is there, where image was expected")
        assert isinstance(fetch(media, server.url, "document"), Blob)
        assert isinstance(fetch(media, server.url), Blob)


# --- where one may go ------------------------------------------------------------------------------------------------

PUBLIC = ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"]
NOT_PUBLIC = [
    *("127.0.0.1", "127.255.0.1", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
    *("169.254.169.254", "100.64.0.1", "100.100.100.200", "192.0.0.192", "192.0.2.1", "198.18.0.1", "203.0.113.1"),
    *("224.0.0.1", "240.0.0.1", "255.255.255.255", "168.63.129.16", "192.88.99.1"),
    *("::", "::1", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254", "fd20:ce::254", "ff02::1"),
    *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1", "::127.0.0.1", "::a9fe:a9fe"),
    *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808", "2002:7f00:1::", "2002:a9fe:a9fe::1"),
    *("2001:0:53aa:64c::", "2001:db8::1", "3fff::1", "100::1", "5f00::1", "", "localhost", "8.8.8.8.8"),
]


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address(address: str):
    assert is_public(address)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_that_is_not_public(address: str):
    assert not is_public(address)


class Resolver:
    """Names and the addresses they have; what was asked for is remembered."""

    def __init__(self, **hosts: Sequence[str]) -> None:
        self.hosts = {name.replace("_", "."): list(addresses) for name, addresses in hosts.items()}
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append((host, port))
        if host not in self.hosts:
            raise OSError("no such host")
        return self.hosts[host]


REFUSED: dict[str, tuple[str, str]] = {
    "this machine": ("http://localhost/x", "localhost is not on the public internet"),
    "by number": ("http://127.0.0.1/x", "127.0.0.1 is not on the public internet"),
    "by a number that is short": ("http://127.1/x", "127.1 is not on the public internet"),
    "by one number": ("http://2130706433/x", "2130706433 is not on the public internet"),
    "by a number in hex": ("http://0x7f.1/x", "0x7f.1 is not on the public internet"),
    "by IPv6": ("http://[::1]:8000/x", "::1 is not on the public internet"),
    "by IPv4 in IPv6": ("http://[::ffff:127.0.0.1]/x", "is not on the public internet"),
    "of the cloud": ("http://169.254.169.254/latest/meta-data", "169.254.169.254 is not on the public internet"),
    "a name of many addresses": ("https://both.example/x", "both.example is not on the public internet"),
    "not http": ("ftp://8.8.8.8/x", "only http and https can be fetched"),
    "a bucket": ("gs://bucket/x.png", "only http and https can be fetched"),
    "a file": ("file:///etc/passwd", "only http and https can be fetched"),
    "no host": ("http:///x", "the URL has no host"),
    "no URL": ("http://[::1", "this is no URL"),
    "two lines": ("http://8.8.8.8/\r\nx: y", "this is no URL"),
    "a port that is none": ("http://8.8.8.8:99999/", "the port of the URL is none"),
    "credentials": ("https://me:hunter2@files.example/x", "a URL with credentials in it is not fetched"),
    "a user": ("https://me@files.example/x", "a URL with credentials in it is not fetched"),
    "much of it": ("https://files.example/" + "x" * 8192, "the URL is longer than 8192 characters"),
}


def test_a_name_that_is_no_punycode():
    assert refusal(fetch(Media(resolve=Resolver()), "http://xn--/"))[0] == "media_unreachable"


def test_names_are_looked_up_on_threads_of_their_own(monkeypatch: pytest.MonkeyPatch):
    """One that nobody answers for holds a thread for long: all others are for the vendors' names."""
    seen: list[str] = []

    def look_up(*where: Any, **how: Any) -> Any:
        seen.append(threading.current_thread().name)
        raise OSError

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    assert refusal(fetch(Media(), "http://a.example/"))[0] == "media_unreachable"
    assert [name.partition("_")[0] for name in seen] == ["media-names"]


@pytest.mark.parametrize(("uri", "told"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(uri: str, told: str):
    resolver = Resolver(both_example=["8.8.8.8", "10.0.0.1"])

    async def resolve(host: str, port: int) -> Sequence[str]:
        return await (resolver if host.endswith(".example") else module._resolver())(host, port)

    code, said = refusal(fetch(Media(resolve=resolve), uri))
    assert code == "media_refused"
    assert told in said
    assert "hunter2" not in said
    assert len(said) < 400


def test_nothing_is_fetched_where_that_is_off():
    with serving(lambda asked: Says(200, PNG)) as server:
        code, said = refusal(fetch(Media(False, allow=HERE), f"{server.url}/x?sig=s"))
    assert (code, said) == (
        "media_refused",
        f"this vendor fetches no URLs, and media.download is off: {server.url}/x",
    )
    assert server.asked == []


def test_a_name_nobody_knows():
    assert refusal(fetch(Media(resolve=Resolver()), "https://files.example/x")) == (
        "media_unreachable",
        "https://files.example/x: there is no host files.example",
    )


@pytest.mark.parametrize("allow", ["files.corp.example", "*.example", "FILES.corp.Example"])
def test_an_operator_may_allow_a_host_of_our_own(allow: str):
    with serving(lambda asked: Says(200, PNG)) as server:
        resolver = Resolver(files_corp_example=["127.0.0.1"])
        found = fetch(Media(allow=[allow], resolve=resolver), f"http://files.corp.example:{server.port}/x")
    assert isinstance(found, Blob)
    assert resolver.asked == [("files.corp.example", server.port)]
    assert server.asked[0].headers["host"] == f"files.corp.example:{server.port}"


def test_the_next_address_is_tried():
    with serving(lambda asked: Says(200, PNG)) as server:
        resolver = Resolver(files_example=["127.0.0.2", "::1", "127.0.0.1"])
        assert isinstance(
            fetch(Media(allow=["files.example"], resolve=resolver), f"http://files.example:{server.port}"), Blob
        )


def test_a_name_is_asked_for_once_however_it_changes(monkeypatch: pytest.MonkeyPatch):
    """The second answer leads inside: it is never asked for, as the connection is made to the address that was seen."""
    asked: list[str] = []
    connected: list[Any] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["8.8.8.8"] if len(asked) == 1 else ["127.0.0.1"]

    def look_up(host: str, port: int, *, type: int, flags: int) -> Any:
        assert flags == socket.AI_NUMERICHOST, "nobody is asked for a name"
        return really(host, port, type=type, flags=flags)

    really = socket.getaddrinfo
    with serving(lambda asked: Says(200, PNG)) as server:

        async def connect(found: Any) -> socket.socket:
            connected.append(found[1])
            sock = socket.socket()
            sock.connect(("127.0.0.1", server.port))
            sock.setblocking(False)
            return sock

        monkeypatch.setattr(dialing, "_connected", connect)
        monkeypatch.setattr("socket.getaddrinfo", look_up)
        assert isinstance(fetch(Media(resolve=resolve), "http://rebinding.example/x"), Blob)
    assert (asked, connected) == (["rebinding.example"], [("8.8.8.8", 80)])
    assert server.asked[0].headers["host"] == "rebinding.example"


def test_a_name_that_leads_nowhere_is_not_asked_for_again(monkeypatch: pytest.MonkeyPatch):
    def look_up(*where: Any, **how: Any) -> Any:
        raise AssertionError("nobody is asked for a name")

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    resolver = Resolver(files_example=[])
    assert refusal(fetch(Media(resolve=resolver), "http://files.example/x")) == (
        "media_unreachable",
        "http://files.example/x: the host has no address",
    )


def test_no_proxy_is_asked(monkeypatch: pytest.MonkeyPatch):
    """It would look for the name itself, and might find it inside."""
    with serving(lambda asked: Says(200, PNG)) as server, serving(lambda asked: Says(200, GIF)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        media = Media(allow=["files.example"], resolve=Resolver(files_example=["127.0.0.1"]))
        assert isinstance(fetch(media, f"http://files.example:{server.port}/x"), Blob)
    assert (len(server.asked), proxy.asked) == (1, [])


def test_a_certificate_is_to_be_the_names(tmp_path: Path):
    served, trusted = certificate(tmp_path)

    async def story() -> None:
        async with peers(polite, tls=served) as vendor:
            resolver = Resolver(vendor_test=["127.0.0.1"], other_test=["127.0.0.1"])
            media = Media(allow=["*.test"], resolve=resolver, tls=trusted)
            assert isinstance(await media.fetch(f"https://vendor.test:{vendor.port}/x"), Blob)
            code, said = refusal(await media.fetch(f"https://other.test:{vendor.port}/x"))
            assert (code, "certificate" in said) == ("media_unreachable", True)

    asyncio.run(story())


# --- redirects -------------------------------------------------------------------------------------------------------


def redirecting(*locations: str) -> Callable[[Asked], Says]:
    """/0 leads to the first of them, /1 to the second; what is left is an image."""

    def answer(asked: Asked) -> Says:
        number = int(asked.path.rpartition("/")[2] or 0) if asked.path.rpartition("/")[2].isdigit() else len(locations)
        return Says(302, b"", {"location": locations[number]}) if number < len(locations) else Says(200, PNG)

    return answer


def test_redirects_are_followed():
    with serving(redirecting("/1", "2", "../3")) as server:
        found = fetch(Media(allow=HERE), f"{server.url}/0")
    assert isinstance(found, Blob)
    assert [asked.path for asked in server.asked] == ["/0", "/1", "/2", "/3"]


def test_not_for_ever():
    with serving(redirecting("/1", "/2", "/3", "/4", "/5")) as server:
        assert refusal(fetch(Media(allow=HERE), f"{server.url}/0"))[1].endswith("more than 3 redirects")
    assert len(server.asked) == 4


LED: dict[str, tuple[str, str, str]] = {
    "inside": ("http://169.254.169.254/latest", "media_refused", "169.254.169.254 is not on the public internet"),
    "inside, by name": ("//inside.example/x", "media_refused", "inside.example is not on the public internet"),
    "to another kind": ("file:///etc/passwd", "media_refused", "only http and https"),
    "with credentials": ("http://a:b@8.8.8.8/", "media_refused", "credentials"),
    "to what is no URL": ("http://[::1", "media_unreachable", "redirected to what is no URL"),
}


@pytest.mark.parametrize(("location", "code", "told"), LED.values(), ids=LED)
def test_where_redirects_may_not_lead(location: str, code: str, told: str):
    resolver = Resolver(allowed_example=["127.0.0.1"], inside_example=["127.0.0.1"])
    resolver.hosts["169.254.169.254"] = ["169.254.169.254"]
    with serving(lambda asked: Says(307, b"", {"location": location})) as server:
        media = Media(allow=["allowed.example"], resolve=resolver)
        found = refusal(fetch(media, f"http://allowed.example:{server.port}/x"))
    assert found[0] == code
    assert told in found[1]
    assert len(server.asked) == 1


# --- what is kept ----------------------------------------------------------------------------------------------------


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_it_is_fetched_once_a_minute():
    clock = Clock()
    with serving(lambda asked: Says(200, PNG)) as server:
        media = Media(allow=HERE, clock=clock)
        fetch(media, f"{server.url}/a")
        clock.now = KEPT_FOR - 1
        fetch(media, f"{server.url}/a")
        assert len(server.asked) == 1
        fetch(media, f"{server.url}/b")
        assert len(server.asked) == 2
        clock.now = KEPT_FOR
        fetch(media, f"{server.url}/a")
        assert len(server.asked) == 3


def test_a_failure_is_not_kept():
    answers = [Says(503), Says(200, PNG)]
    with serving(lambda asked: answers.pop(0)) as server:
        media = Media(allow=HERE)
        assert isinstance(fetch(media, server.url), Fault)
        assert isinstance(fetch(media, server.url), Blob)


def blob(size: int) -> Blob:
    return Blob("image", "image/png", "x" * size)


def test_only_so_much_is_kept():
    kept = Keeping(Clock())
    third = KEPT_BYTES // 3
    for name in ("a", "b", "c"):
        kept.put(name, blob(third))
    assert all(map(kept.get, "abc"))
    kept.put("b", blob(10))
    kept.put("d", blob(third))
    assert [name for name in "abcd" if kept.get(name)] == ["b", "c", "d"], "the oldest goes first"
    kept.put("huge", blob(KEPT_BYTES + 1))
    assert kept.get("huge") is None
    assert kept.get("d")
    kept.put("all", blob(KEPT_BYTES))
    assert [name for name in ("a", "b", "c", "d", "all") if kept.get(name)] == ["all"]
    assert kept._size == KEPT_BYTES


def test_only_so_many_at_once():
    running = most = 0

    async def resolve(host: str, port: int) -> Sequence[str]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(10):
            await asyncio.sleep(0)
        running -= 1
        raise OSError("no such host")

    async def story() -> list[Blob | Fault]:
        media = Media(resolve=resolve)
        return await asyncio.gather(*(media.fetch(f"https://files.example/{number}") for number in range(20)))

    assert len(asyncio.run(story())) == 20
    assert most == module.AT_ONCE


def test_the_same_settings_bring_the_same():
    assert Media(True, ["A.example"]).same_as(Media(True, ("a.example",)))
    assert not Media(True, ["a.example"]).same_as(Media(True))
    assert not Media().same_as(Media(max_size=1))


def test_certificates_are_those_of_the_name():
    """A server whose certificate nobody has signed: neither its bytes nor its silence come through."""

    async def story() -> Blob | Fault:
        async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")
            writer.close()

        server = await asyncio.start_server(plain, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await Media(allow=HERE, tls=ssl.create_default_context).fetch(f"https://127.0.0.1:{port}/")

    assert refusal(asyncio.run(story()))[0] == "media_unreachable"


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("https://a:b@h/x?sig=s#f", "https://h/x"),
        ("https://h/\x1b[2J", "https://h/?[2J"),
        ("http://[oops?x", "http://[oops"),
        ("https://h/" + "x" * 300, "https://h/" + "x" * 190 + "…"),
    ],
)
def test_a_url_for_people(uri: str, said: str):
    assert shown(uri) == said
