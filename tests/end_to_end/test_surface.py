"""The HTTP surface: every route and shape of path, keys, limits, and clients that mean harm or know no better."""

from __future__ import annotations

import gzip
import json
import time
import zlib
from typing import Any

import pytest

from gateway import events
from gateway.api.fronts import CHAT, EMBEDDINGS
from gateway.api.inbound import MODELS
from gateway.events import RequestTurnedAway
from gateway.wire import bounded
from tests.scripted import Silent, Status, play

from .setting import MESSAGES, Client, Told, body, eventually, request, stand

LIMITS = {"server": {"max_body": "64KiB", "client_timeout": "1s"}}
POSTS = [CHAT, EMBEDDINGS]


def get(client: Client, path: str, method: str = "GET", **headers: str) -> Told:
    client.send(request(b"", path, method, content_length="", content_type="", **headers))
    if method == "HEAD":
        client.see(b"\r\n\r\n")
        head = bytes(client.received)
        client.received.clear()
        return Told(int(head.split()[1]), {}, b"")
    return client.reply()


# --- routes


def test_every_route_answers() -> None:
    with stand("primary") as s, s.client() as client:
        assert get(client, "/health/live").json == {"status": "ok"}
        assert get(client, "/health/ready").json["status"] == "ready"
        provider = get(client, "/health/providers").json["providers"]["primary"]
        assert provider["vendor"] == "openai_compatible"
        assert provider["urls"]["chat"] == f"{s.primary.base_url}/chat/completions"
        assert provider["keys"] == ["alive"]
        assert get(client, "/").json["name"] == "skein"
        assert get(client, "/", "HEAD").status == 200
        assert get(client, "/schema/openapi.json").json["paths"].keys() >= {CHAT, MODELS}
        assert get(client, "/schema").status == 200


def test_models_are_listed_and_shown() -> None:
    providers = {"primary": {"models": ["org/deep/model-7b"], "windows": {"gpt-4.1": 4096}}}
    extra = {"aliases": {"gpt-4o": "m", "claude-*": "m"}}
    with stand("primary", providers=providers, extra=extra) as s, s.client() as client:
        eventually(lambda: s.gateway.runtime.listings.ids.get("primary"))
        listed = get(client, MODELS + "?limit=1000").json
        assert listed["object"] == "list"
        entries = {each["id"]: each for each in listed["data"]}
        assert {"m", "gpt-4o", "primary/org/deep/model-7b", "primary/gpt-4.1-mini"} <= entries.keys()
        assert "claude-*" not in entries
        assert entries["m"]["meta"]["n_ctx"] == 4096
        assert all(each["object"] == "model" and isinstance(each["created"], int) for each in entries.values())
        for name in ("m", "gpt-4o", "claude-sonnet", "primary/org/deep/model-7b", "org/deep/model-7b"):
            assert get(client, f"{MODELS}/{name}").json["id"] == name
        assert get(client, f"{MODELS}/primary%2Forg%2Fdeep%2Fmodel-7b").json["id"] == "primary/org/deep/model-7b"
        missing = get(client, f"{MODELS}/nothing-like-it")
        assert (missing.status, missing.error["code"]) == (404, "model_not_found")


def test_models_are_listed_while_the_vendor_is_silent() -> None:
    with stand("primary") as s, s.client() as client:
        s.primary.listing = Silent("before_head")
        runtime = s.gateway.runtime
        s.gateway.call(lambda: runtime.listings.adopt({}))
        began = time.monotonic()
        assert [each["id"] for each in get(client, MODELS).json["data"]] == ["m"]
        assert time.monotonic() - began < 2


# The base URLs people paste, and what agents make of them: a prefix, then the operation.
PREFIXES = [
    "", "/v1", "/v1/v1", "/gw/team", "/gw/v1", "/openai/v1", "/openai", "/api/v1", "/api/paas/v4", "/v4",
    "/engines/llama.cpp/v1", "/engines/v1", "//v1", "/v1//", "/openai//v1",
]  # fmt: skip


@pytest.mark.parametrize("prefix", PREFIXES)
def test_base_urls_as_people_paste_them(prefix: str) -> None:
    with stand("primary") as s, s.client() as client:
        client.post(body(), path=f"{prefix}/chat/completions?api-version=x&beta=true")
        assert client.reply().status == 200
        client.post({"model": "m", "input": "x"}, path=f"{prefix}/embeddings/")
        assert client.reply().status == 200
        assert get(client, f"{prefix}/models").json["data"]
        assert get(client, f"{prefix}/models/m").json["id"] == "m"


AZURE = ["/openai", "/openai/v1/openai", "", "/azure/openai"]


@pytest.mark.parametrize("prefix", AZURE)
def test_azure_shapes_name_the_model_in_the_path(prefix: str) -> None:
    with stand("primary") as s, s.client() as client:
        base = f"{prefix}/deployments/m"
        client.post({"messages": MESSAGES}, path=f"{base}/chat/completions?api-version=2024-10-21", api_key="x")
        assert client.reply().status == 200
        client.post({"input": "x"}, path=f"{base}/embeddings?api-version=2024-10-21")
        assert client.reply().status == 200
        assert [call.model for call in s.primary.received] == ["gpt-4.1", "gpt-4.1"]
        assert get(client, f"{base}/models").status == 200
        path = f"{prefix}/deployments/primary%2Fgpt-4.1/chat/completions"
        client.post({"messages": MESSAGES}, path=path)
        assert client.reply().status == 200


NOWHERE = {
    "/v1/chat/completion": CHAT,
    "/v1/embedding": EMBEDDINGS,
    "/v1/model": MODELS,
    "/health": "/health/",
    "/nothing": CHAT,
    "/v1/completely/else": "/v1/completions",
    "/%00": CHAT,
    "/../../etc/passwd": CHAT,
}


@pytest.mark.parametrize("path", NOWHERE)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
def test_an_unknown_path_names_the_nearest_one(path: str, method: str) -> None:
    with stand("primary") as s, s.client() as client:
        told = get(client, path, method)
        assert (told.status, told.error["code"], told.error["origin"]) == (404, "unknown_path", "gateway")
        assert NOWHERE[path] in told.error["message"]
        [turned_away] = [each for each in s.gateway.events if isinstance(each, RequestTurnedAway)]
        assert turned_away.exchange_id == told.headers["x-request-id"] == told.error["request_id"]
        assert told.headers["x-request-id"] == told.error["request_id"]


@pytest.mark.parametrize(("path", "method"), [(CHAT, "GET"), (CHAT, "PUT"), (MODELS, "POST"), ("/health/live", "POST")])
def test_a_wrong_method_is_told_the_right_one(path: str, method: str) -> None:
    with stand("primary") as s, s.client() as client:
        told = get(client, path, method)
        assert (told.status, told.error["code"]) == (405, "method_not_allowed")
        assert told.headers["allow"]


def test_an_unknown_model_names_the_three_nearest() -> None:
    aliases = {"aliases": {"gpt-4o": "m", "gpt-4o-mini": "m", "gpt-4": "m", "zzz": "m"}}
    with stand("primary", extra=aliases) as s:
        told = s.ask(model="gpt-4oo")
        assert (told.status, told.error["code"], told.error["param"]) == (404, "model_not_found", "model")
        assert all(name in told.error["message"] for name in ("gpt-4o", "gpt-4o-mini", "gpt-4"))
        assert "zzz" not in told.error["message"]
        assert (s.primary.count, s.finished().status) == (0, 404)


@pytest.mark.parametrize("path", ["/v1/responses", CHAT, "/"])
def test_a_websocket_upgrade_is_refused_and_does_not_hang(path: str) -> None:
    upgrade = {
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec_websocket_key": "dGhlIHNhbXBsZSBub25jZQ==",
        "sec_websocket_version": "13",
    }
    with stand("primary") as s, s.client() as client:
        told = get(client, path, **upgrade)
        assert (told.status, told.error["code"]) == (426, "websocket_unsupported")


# --- headers


def test_an_answer_says_where_it_came_from() -> None:
    with stand("primary") as s:
        for stream in (False, True):
            headers = s.ask(stream, headers={"x_request_id": "my-id_1.2:3"}).headers
            assert headers["x-request-id"] == "my-id_1.2:3"
            assert (headers["x-skein-provider"], headers["x-skein-model"]) == ("primary", "gpt-4.1")
            assert headers["x-skein-attempts"] == "1"
            assert headers["x-skein-route"].startswith("priority; ")
            assert headers["server-timing"].startswith("gateway;dur=")
            assert "upstream;dur=" in headers["server-timing"]
            assert "server" not in headers
        assert {event.exchange_id for event in s.of(events.ExchangeFinished)} == {"my-id_1.2:3"}


HOSTILE = ["", " ", "a" * 129, "é", "a b", "<script>", "a\tb", '"; drop', "../..", "%0d%0aset-cookie:x=1"]


@pytest.mark.parametrize("value", HOSTILE, ids=repr)
def test_a_request_id_that_cannot_be_echoed_is_replaced(value: str) -> None:
    with stand("primary") as s:
        told = s.ask(headers={"x_request_id": value})
        assert told.headers["x-request-id"].startswith("req_")
        assert "set-cookie" not in told.headers


@pytest.mark.parametrize("header", ["x_skein_model", "x_skein_session", "x_skein_timeout", "x_skein_hops", "traceparent", "x_skein_no_fallback", "content_encoding", "authorization", "openai_beta", "idempotency_key"])  # fmt: skip  # noqa: E501
@pytest.mark.parametrize("value", ["\xff\xfe", "9" * 5000, "-1", "NaN", "\x80é", "a,b;c=d", "²", "{}"], ids=ascii)
def test_hostile_header_values_are_told_or_taken(header: str, value: str) -> None:
    with stand("primary") as s:
        for stream in (False, True):
            told = s.ask(stream, headers={header: value})
            looped = header == "x_skein_hops" and value.startswith("9")
            assert told.status in ((508,) if looped else (200, 400, 404, 415)), told.body
            assert not s.faults()
            assert told.headers["x-request-id"]
        s.finished(2)


def test_the_clients_own_credentials_and_cookies_do_not_go_to_the_vendor() -> None:
    with stand("primary") as s:
        s.ask(
            headers={
                "authorization": "Bearer sk-mine",
                "cookie": "a=b",
                "x_api_key": "sk-mine",
                "openai_organization": "org-mine",
                "x_forwarded_for": "10.0.0.1",
                "idempotency_key": "once",
                "openai_beta": "assistants=v2",
            }
        )
        headers = s.primary.received[0].headers
        assert "mine" not in repr(headers)
        assert "cookie" not in headers
        assert "x-forwarded-for" not in headers
        assert (headers["idempotency-key"], headers["openai-beta"]) == ("once", "assistants=v2")


def test_the_vendors_cookies_and_hop_by_hop_headers_do_not_come_to_the_client() -> None:
    with stand("primary") as s:
        s.primary.otherwise = play(
            headers={"set-cookie": "a=b", "keep-alive": "timeout=5", "x-ratelimit-remaining-tokens": "7", "server": "x"}
        )
        headers = s.ask().headers
        assert headers.keys().isdisjoint({"set-cookie", "keep-alive", "server"})
        assert headers["x-ratelimit-remaining-tokens"] == "7"


# --- keys

KEYS = {
    "access": {
        "mode": "keys",
        "keys": [
            {"name": "all", "key": "sk-caller-all"},
            {"name": "mini", "key": "sk-caller-mini", "models": ["primary/gpt-4.1-mini"]},
        ],
    }
}
FORMS = {
    "authorization": "Bearer {}",
    "api_key": "{}",
    "x_api_key": "{}",
    "x_goog_api_key": "{}",
    "Authorization": "bearer {}",
}


@pytest.mark.parametrize("header", FORMS)
def test_a_key_is_taken_in_every_form(header: str) -> None:
    with stand("primary", extra=KEYS) as s, s.client() as client:
        assert s.ask(headers={header: FORMS[header].format("sk-caller-all")}).status == 200
        assert get(client, MODELS, **{header: FORMS[header].format("sk-caller-all")}).status == 200
        assert s.of(events.RequestUnderstood)[0].caller == "all"
        for wrong in ("sk-caller-nobody", "", "é", "sk-caller-all "[:-2]):
            told = s.ask(headers={header: FORMS[header].format(wrong)})
            assert (told.status, told.error["code"]) == (401, "invalid_api_key")
            assert told.error["type"] == "authentication_error"
            assert told.headers["www-authenticate"] == "Bearer"
            assert wrong == "" or wrong not in told.body.decode()
            assert get(client, MODELS, **{header: FORMS[header].format(wrong)}).status == 401
            assert get(client, f"{MODELS}/m", **{header: FORMS[header].format(wrong)}).status == 401


def test_without_a_key_only_health_answers() -> None:
    with stand("primary", extra=KEYS) as s, s.client() as client:
        assert get(client, "/health/live").status == 200
        assert get(client, "/health/ready").status == 200
        for path in POSTS:
            client.post({"model": "m", "input": "x", "messages": []}, path=path)
            assert client.reply().status == 401
        assert s.primary.count == 0


def test_a_key_may_be_for_some_models_only() -> None:
    with stand("primary", extra=KEYS) as s, s.client() as client:
        key = {"authorization": "Bearer sk-caller-mini"}
        assert s.ask(headers=key, model="primary/gpt-4.1-mini").status == 200
        told = s.ask(headers=key)
        assert (told.status, told.error["code"], told.error["param"]) == (403, "model_not_allowed", "model")
        assert s.ask(headers=key | {"x_skein_model": "m"}, model="primary/gpt-4.1-mini").status == 403
        eventually(lambda: s.gateway.runtime.listings.ids)
        assert [each["id"] for each in get(client, MODELS, **key).json["data"]] == ["primary/gpt-4.1-mini"]
        assert get(client, f"{MODELS}/m", **key).status == 404
        assert s.primary.count == 1


# --- bodies

BAD: dict[str, tuple[bytes, int]] = {
    "empty": (b"", 400),
    "spaces": (b"   \n", 400),
    "not_json": (b"model=m&stream=1", 400),
    "half": (b'{"model":"m","messages":[{"role":', 400),
    "trailing": (b'{"model":"m","messages":[]} x', 400),
    "array": (b'[{"model":"m"}]', 400),
    "string": (b'"m"', 400),
    "null": (b"null", 400),
    "number": (b"12e400", 400),
    "deep": (b'{"model":"m","messages":' + b"[" * 25000 + b"]" * 25000 + b"}", 400),
    "deep_objects": (b'{"model":"m","x":' + b'{"a":' * 10000 + b"1" + b"}" * 10000 + b"}", 400),
    "model_not_utf8": (b'{"model":"\xff","messages":[]}', 400),
    "utf16": ('{"model":"m","messages":[]}'.encode("utf-16"), 400),
    "nul": (b'{"model":"m\x00"}', 400),
    "raw_nuls": (b"\x00" * 100, 400),
    "no_model": (b'{"messages":[],"input":"x"}', 400),
    "model_null": (b'{"model":null,"messages":[],"input":"x"}', 400),
    "model_empty": (b'{"model":"","messages":[],"input":"x"}', 400),
    "model_number": (b'{"model":5,"messages":[],"input":"x"}', 400),
    "model_list": (b'{"model":["m"],"messages":[],"input":"x"}', 400),
    "model_escaped_nul": (b'{"model":"m\\u0000","messages":[],"input":"x"}', 404),
    "model_huge": (b'{"model":"' + b"m" * 50000 + b'","messages":[],"input":"x"}', 400),
    "model_surrogate": (b'{"model":"\\ud800","messages":[],"input":"x"}', 400),
    "model_odd": (b'{"model":"m\\r\\nx: y","messages":[],"input":"x"}', 404),
}  # fmt: skip
BAD_CHAT: dict[str, tuple[bytes, int]] = {
    "stream_yes": (b'{"model":"m","messages":[],"stream":"yes"}', 400),
    "stream_one": (b'{"model":"m","messages":[],"stream":1}', 400),
    "tools_text": (b'{"model":"m","messages":[],"tools":"shell"}', 400),
    "n_text": (b'{"model":"m","messages":[],"n":"2"}', 400),
    "stream_options_list": (b'{"model":"m","messages":[],"stream":true,"stream_options":[]}', 400),
    "format_text": (b'{"model":"m","messages":[],"response_format":"json"}', 400),
}
BAD_EMBEDDINGS: dict[str, tuple[bytes, int]] = {"no_input": (b'{"model":"m"}', 400)}
HOSTILE_BODIES = [(CHAT, name, *BAD[name]) for name in BAD] + [(EMBEDDINGS, name, *BAD[name]) for name in BAD]
HOSTILE_BODIES += [(CHAT, name, *BAD_CHAT[name]) for name in BAD_CHAT]
HOSTILE_BODIES += [(EMBEDDINGS, name, *BAD_EMBEDDINGS[name]) for name in BAD_EMBEDDINGS]
# Told by the vendor or by the gateway, but told: some of these have nothing wrong in what the gateway reads.
LEFT_TO_THE_VENDOR = ("deep", "deep_objects")


@pytest.mark.parametrize(("path", "said", "status"), [(p, b, st) for p, _, b, st in HOSTILE_BODIES], ids=[f"{p.rpartition('/')[2]}-{n}" for p, n, _, _ in HOSTILE_BODIES])  # fmt: skip  # noqa: E501
def test_a_bad_body_is_told_what_is_wrong(path: str, said: bytes, status: int, request: Any) -> None:
    with stand("primary") as s, s.client() as client:
        client.post(said, path=path)
        told = client.reply()
        if any(request.node.callspec.id.endswith(f"-{name}") for name in LEFT_TO_THE_VENDOR):
            assert told.status in (200, 400)
            return
        assert told.status == status, told.body[:500]
        assert told.error["message"]
        assert len(told.body) < 120_000
        assert told.error["origin"] in ("caller", "gateway")
        assert told.headers["content-type"] == "application/json"
        assert (s.primary.count, s.finished().status) == (0, status)
        client.post(body())
        assert client.reply().status == 200  # the connection is as good as before


ODD_AND_FINE: dict[str, bytes] = {
    "lone_surrogate": b'{"model":"m","messages":[{"role":"user","content":"\\ud83d"}]}',
    "duplicate_keys": b'{"model":"nobody","model":"m","messages":[],"stream":true,"stream":false}',
    "huge_int": b'{"model":"m","messages":[],"seed":' + b"9" * 300 + b"}",
    "huge_float": b'{"model":"m","messages":[],"temperature":1e999}',
    "no_messages": b'{"model":"m"}',
    "null_everything": b'{"model":"m","messages":null,"stream":null,"tools":null,"n":null,"stream_options":null,"response_format":null}',  # noqa: E501
    "bom": b'\xef\xbb\xbf{"model":"m","messages":[]}',
    "model_in_text": b'{"messages":[{"role":"user","content":"\\"model\\":\\"m\\""}],"model":"m"}',
    "model_inside": b'{"metadata":{"model":"m"},"model":"m","messages":[]}',
    "escaped_key": b'{"\\u006dodel":"m","messages":[]}',
    "empty_key": b'{"":1,"model":"m","messages":[]}',
}


@pytest.mark.parametrize("name", ODD_AND_FINE)
def test_what_is_odd_is_the_vendors_to_judge_or_told(name: str) -> None:
    """Nothing the gateway need know is wrong with these: the vendor sees what was sent, but for the model."""
    with stand("primary") as s, s.client() as client:
        client.post(ODD_AND_FINE[name])
        told = client.reply()
        if told.status != 200:
            assert told.status == 400
            assert told.error["message"]
            assert name in ("lone_surrogate", "huge_int", "huge_float", "bom"), told.body
            return
        arrived = s.primary.received[0].body
        if name not in ("huge_int", "huge_float", "lone_surrogate"):
            expected = json.loads(ODD_AND_FINE[name].removeprefix(b"\xef\xbb\xbf")) | {"model": "gpt-4.1"}
            assert json.loads(arrived) == expected
        else:
            assert arrived == ODD_AND_FINE[name].replace(b'"m"', b'"gpt-4.1"')


def test_a_conversation_that_is_not_utf8_is_the_vendors_to_judge_or_told() -> None:
    with stand("primary") as s, s.client() as client:
        s.primary.decide = lambda call: Status(400, {"error": {"message": "not UTF-8", "code": "c"}})
        client.post(b'{"model":"m","messages":[{"role":"user","content":"\xff\xfe"}]}')
        told = client.reply()
        assert told.status == 400
        assert told.error["message"]


def test_a_body_that_is_too_large_is_refused_before_it_is_read() -> None:
    with stand("primary", extra=LIMITS) as s, s.client() as client:
        client.send(request(b"", content_length=str(10**9)))
        told = client.reply()
        assert (told.status, told.error["code"]) == (413, "request_too_large")
        assert "max_body" in told.error["message"]
        assert s.finished().status == 413


def test_a_chunked_body_that_is_too_large_is_refused_on_the_way() -> None:
    with stand("primary", extra=LIMITS) as s, s.client() as client:
        client.send(request(b"", content_length="", transfer_encoding="chunked"))
        chunk = b"8000\r\n" + b" " * 0x8000 + b"\r\n"
        for _ in range(4):
            client.send(chunk)
        told = client.reply()
        assert (told.status, told.error["code"]) == (413, "request_too_large")


def test_a_chunked_body_is_read() -> None:
    with stand("primary") as s, s.client() as client:
        said = json.dumps(body()).encode()
        client.send(request(b"", content_length="", transfer_encoding="chunked"))
        for place in range(0, len(said), 7):
            part = said[place : place + 7]
            client.send(b"%x\r\n%b\r\n" % (len(part), part))
        client.send(b"0\r\n\r\n")
        assert client.reply().status == 200


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "GZIP", "identity"])
def test_a_compressed_body_is_read(encoding: str) -> None:
    said = json.dumps(body()).encode()
    packed = {"gzip": gzip.compress, "deflate": zlib.compress, "identity": bytes}[encoding.lower()](said)
    with stand("primary") as s, s.client() as client:
        client.post(packed, content_encoding=encoding)
        assert client.reply().status == 200
        assert "content-encoding" not in s.primary.received[0].headers
        assert s.primary.received[0].fields["messages"] == MESSAGES


PACKED = {
    "bomb": (gzip.compress(b" " * 2**26), 413, "request_too_large"),
    "bomb_in_bomb": (gzip.compress(gzip.compress(b" " * 2**26)), 400, "invalid_json"),
    "not_packed": (b'{"model":"m"}', 400, "invalid_encoding"),
    "half": (gzip.compress(json.dumps(body()).encode())[:-12], 400, "invalid_encoding"),
    "damaged": (b"\x1f\x8b\x08\x00" + b"\x00" * 40, 400, "invalid_encoding"),
    "empty": (b"", 400, "invalid_encoding"),
}


@pytest.mark.parametrize("name", PACKED)
def test_a_badly_compressed_body_is_refused(name: str) -> None:
    said, status, code = PACKED[name]
    with stand("primary", extra=LIMITS) as s, s.client() as client:
        client.post(said, content_encoding="gzip")
        told = client.reply()
        assert (told.status, told.error["code"]) == (status, code)
        s.finished()


@pytest.mark.parametrize("encoding", ["br", "gzip, br", "x" * 500])
def test_an_unknown_compression_is_a_415(encoding: str) -> None:
    with stand("primary") as s:
        told = s.ask(headers={"content_encoding": encoding})
        assert (told.status, told.error["code"]) == (415, "unsupported_encoding")


# --- connections


def test_pipelined_requests_are_answered_in_order() -> None:
    with stand("primary") as s, s.client() as client:
        health = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n"
        client.send(request(body()) + health + request(body(True)) + request(body(model="none")) + health)
        kinds = []
        for _ in range(5):
            told = client.reply()
            kinds.append((told.status, told.is_stream))
        assert kinds == [(200, False), (200, False), (200, True), (404, False), (200, False)]
        s.finished(3)


def test_a_body_that_stops_in_the_middle_is_a_408() -> None:
    with stand("primary", extra=LIMITS) as s, s.client() as client:
        client.send(request(body())[:-5])
        told = client.reply()
        assert (told.status, told.error["code"]) == (408, "request_timeout")
        assert client.more(10.0) is False
        assert client.ended
        assert s.finished().status == 408


@pytest.mark.parametrize("bytes_first", [b"", b"POST /v1/chat/comp", request(b"{}")[:-10]], ids=["nothing", "line", "headers"])  # fmt: skip  # noqa: E501
def test_a_head_that_never_comes_is_a_408(monkeypatch: pytest.MonkeyPatch, bytes_first: bytes) -> None:
    monkeypatch.setattr(bounded, "HEAD_TIMEOUT", 1.0)
    with stand("primary") as s, s.client() as client:
        client.send(bytes_first)
        assert client.reply().status == 408
        assert not client.more(10.0)
        assert client.ended


def test_a_head_that_drips_is_a_408(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "HEAD_TIMEOUT", 1.0)
    with stand("primary") as s, s.client() as client:
        client.send(b"POST /v1/chat/completions HTTP/1.1\r\n")
        began = time.monotonic()
        while not client.more(0.03) and not client.ended:
            client.send(b"x-a: b\r\n")
            assert time.monotonic() - began < 10
        assert client.reply().status == 408


def test_a_second_head_is_watched_too_but_an_idle_connection_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "HEAD_TIMEOUT", 1.0)
    with stand("primary") as s, s.client() as client:
        client.post(body())
        assert client.reply().status == 200
        assert client.silent(1.3)
        client.send(b"POST /v1/chat/comp")
        assert client.reply().status == 408


@pytest.mark.parametrize("one", [True, False], ids=["one header", "many"])
def test_a_head_that_is_too_large_is_a_431(one: bool) -> None:
    with stand("primary") as s, s.client() as client:
        head = b"x-a: " + b"b" * 100_000 if one else b"\r\n".join(b"x-%d: b" % number for number in range(12_000))
        client.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n" + head)
        assert client.reply().status == 431


def test_a_path_that_is_too_long_is_refused() -> None:
    with stand("primary") as s, s.client() as client:
        client.send(b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n")
        told = client.reply()
        assert told.status in (400, 404, 414, 431)
        assert len(told.body) < 2000


def test_a_head_that_grows_too_large_is_a_431() -> None:
    with stand("primary") as s, s.client() as client:
        client.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n")
        for number in range(70):
            client.send(b"x-%d: " % number + b"b" * 1000 + b"\r\n")
            if client.more(0.005):
                break
        assert client.reply().status == 431


def test_expect_100_continue() -> None:
    with stand("primary") as s, s.client() as client:
        whole = request(body(), expect="100-continue")
        head, _, rest = whole.partition(b"\r\n\r\n")
        client.send(head + b"\r\n\r\n")
        client.see(b"100 Continue")
        client.send(rest)
        assert client.reply().status == 200


NOT_HTTP = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200,
    b"hello\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: abc\r\n\r\n",
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: -5\r\n\r\n",
    b"POST /v1/embeddings HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n",
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n{}xxxx",
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n{}\r\n0\r\n\r\n",
    b"GET /\x00 HTTP/1.1\r\nhost: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: localhost\r\nbad header\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
]


@pytest.mark.parametrize("said", NOT_HTTP, ids=range(len(NOT_HTTP)))
def test_what_is_not_http_is_a_400_and_the_end(said: bytes) -> None:
    with stand("primary", extra=LIMITS) as s, s.client() as client:
        client.send(said)
        while client.more(10.0):
            pass
        assert client.ended
        assert not client.received or client.received.startswith(b"HTTP/1.1 4")
        assert s.primary.count == 0
        assert s.ask().status == 200
        assert not s.of(events.HandlerCrashed)


@pytest.mark.parametrize("said", ["soon", "-1", "0", "1h30", "١s", "1e3", " "])
def test_a_timeout_that_is_none_is_a_400(said: str) -> None:
    with stand("primary") as s:
        told = s.ask(headers={"x_skein_timeout": said.encode().decode("latin-1")})
        if said == " ":
            assert told.status == 200
        else:
            assert (told.status, told.error["code"]) == (400, "invalid_timeout")


def test_everything_that_was_refused_is_counted_once() -> None:
    with stand("primary", extra=KEYS | LIMITS) as s, s.client() as client:
        client.post(body())
        client.post(b"{", authorization="Bearer sk-caller-all")
        client.post(body(model="none"), authorization="Bearer sk-caller-all")
        client.post(body(), authorization="Bearer sk-caller-mini")
        assert [client.reply().status for _ in range(4)] == [401, 400, 404, 403]
        s.finished(4)
        assert [each.outcome for each in s.of(events.ExchangeFinished)] == ["error"] * 4
        codes = [each.code for each in s.of(events.ExchangeFinished)]
        assert codes == ["invalid_api_key", "invalid_json", "model_not_found", "model_not_allowed"]


def test_an_answer_nobody_asked_this_way_is_told_as_the_gateways(monkeypatch: pytest.MonkeyPatch) -> None:
    with stand("primary") as s:
        s.primary.otherwise = Status(500)

        def broken(*_: Any) -> Any:
            raise RuntimeError("sk-primary-Xq7vR2mB9 in a traceback")

        monkeypatch.setattr("gateway.relay.next_attempt", broken)
        told = s.ask()
        assert (told.status, told.error["code"], told.error["origin"]) == (500, "internal_error", "gateway")
        assert "RuntimeError" not in told.body.decode()
        eventually(lambda: s.of(events.ExchangeFinished))
        assert len(s.of(events.HandlerCrashed)) == len(s.of(events.ExchangeFinished)) == 1
