"""Signing in at AWS, with botocore as the witness; its chain reads made-up files and a server on this machine."""

from __future__ import annotations

import asyncio
import http.server
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from gateway.credentials import Signed, Unsigned
from gateway.credentials.aws import LOOK_AGAIN_AFTER, Aws, AwsKeys, SigV4Credential
from gateway.credentials.fetched import Fetched
from gateway.credentials.sigv4 import signature
from gateway.errors import Fault, FaultKind

VECTORS = Path(__file__).parents[2] / "shared" / "vectors" / "aws.json"
NOW = 1767323045.0
KEYS = AwsKeys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "token")
URL = "https://bedrock-runtime.us-east-1.amazonaws.com/model/anthropic.claude-v1%3A0/converse"
CALL = Unsigned("POST", URL, (("content-type", "application/json"),), b"{}")


def authorization(call: Unsigned, keys: AwsKeys = KEYS, service: str = "bedrock", region: str = "us-east-1") -> str:
    return dict(signature(call, keys, service=service, region=region, now=NOW))["authorization"]


def of_botocore(call: Unsigned, keys: AwsKeys, service: str, region: str) -> str:
    request = AWSRequest(call.method, call.url, dict(call.headers), call.body)
    credentials = Credentials(keys.access_key_id, keys.secret_access_key, keys.session_token)
    with patch.object(botocore.auth, "get_current_datetime", lambda: datetime.fromtimestamp(NOW, UTC)):
        botocore.auth.SigV4Auth(credentials, service, region).add_auth(request)
    return str(request.headers["Authorization"])


def test_vectors_made_with_botocore():
    for vector in json.loads(VECTORS.read_bytes())["sigv4"] if VECTORS.exists() else []:
        call = Unsigned(
            vector["method"], vector["url"], tuple(vector["extra_headers"].items()), vector["body"].encode()
        )
        moment = datetime.strptime(vector["amz_date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        keys = AwsKeys(vector["access_key"], vector["secret_key"], vector["session_token"])
        headers = signature(call, keys, service=vector["service"], region=vector["region"], now=moment.timestamp())
        assert dict(headers)["authorization"] == vector["authorization"], vector["name"]


segments = st.text("abc-_.~%3A/: *()'!@$&+,;=[]é", max_size=12)
values = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12)
pairs = st.lists(st.tuples(st.sampled_from("abAB-"), st.sampled_from(["", "1", "%2F", "a%20b", "x=y"])), max_size=4)


@given(path=segments, query=pairs, body=st.binary(max_size=40), token=st.none() | st.just("t/+="), extra=values)
def test_the_same_as_botocore(path: str, query: list[tuple[str, str]], body: bytes, token: str | None, extra: str):
    url = f"https://bedrock-runtime.eu-west-1.amazonaws.com/{path}"
    url += "?" + "&".join(f"{name}={value}" for name, value in query) if query else ""
    call = Unsigned("POST", url, (("content-type", "application/json"), ("x-amzn-sagemaker-id", extra)), body)
    keys = AwsKeys("AKID", "secret/+", token)
    assert authorization(call, keys, "sagemaker", "eu-west-1") == of_botocore(call, keys, "sagemaker", "eu-west-1")


def test_what_a_proxy_may_change_is_not_signed():
    plain = authorization(CALL)
    others = (("accept", "*/*"), ("user-agent", "skein"), ("traceparent", "00-1-2-01"), ("x-amzn-trace-id", "Root=1"))
    assert authorization(CALL._replace(headers=(*CALL.headers, *others))) == plain
    assert "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token," in plain


def sign(credential: SigV4Credential, url: str = URL, key: str | None = None) -> Signed | Fault:
    return asyncio.run(credential.sign(CALL._replace(url=url), key))


def test_keys_as_they_are():
    signed = sign(SigV4Credential("bedrock", "us-east-1", KEYS, lambda: NOW))
    assert isinstance(signed, Signed)
    assert dict(signed.headers)["authorization"] == authorization(CALL)
    assert dict(signed.headers)["x-amz-security-token"] == "token"
    assert {KEYS.secret_access_key, "token"} <= set(signed.secrets)


def test_a_key_of_bedrocks_own_is_a_bearer_token():
    signed = sign(SigV4Credential("bedrock", "us-east-1", KEYS), key="bedrock-api-key-1")
    assert signed == Signed((("authorization", "Bearer bedrock-api-key-1"),), ("bedrock-api-key-1",))


@pytest.mark.parametrize(
    ("url", "region", "signed_for"),
    [
        ("https://bedrock-runtime.eu-west-3.amazonaws.com/x", "us-east-1", "eu-west-3"),
        ("https://bedrock-runtime.cn-north-1.amazonaws.com.cn/x", "", "cn-north-1"),
        ("https://vpce-0a.runtime.sagemaker.us-gov-west-1.vpce.amazonaws.com/x", "", "us-gov-west-1"),
        ("https://us-west-2.example.com/x", "eu-west-1", "eu-west-1"),
        ("http://127.0.0.1:9999/x", "", "us-east-1"),
    ],
)
def test_the_region_it_is_signed_for(url: str, region: str, signed_for: str):
    signed = sign(SigV4Credential("bedrock", region, KEYS, lambda: NOW), url)
    assert isinstance(signed, Signed)
    assert f"/{signed_for}/bedrock/aws4_request" in dict(signed.headers)["authorization"]


# --- botocore's chain ------------------------------------------------------------------------------------------------


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An environment in which there is nothing of AWS's, and nobody is asked."""
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return tmp_path


def test_keys_from_the_environment(bare: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "A")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "S")
    assert Aws(clock=lambda: NOW).fetch() == (AwsKeys("A", "S", None), NOW + LOOK_AGAIN_AFTER)


def test_keys_of_a_profile_are_read_anew(bare: Path):
    source = Aws("work", clock=lambda: NOW)
    for number in ("1", "2"):
        profile = f"[work]\naws_access_key_id=A{number}\naws_secret_access_key=S{number}\naws_session_token=T\n"
        (bare / "credentials").write_text(profile)
        assert source.fetch()[0] == AwsKeys(f"A{number}", f"S{number}", "T")


def test_no_keys_anywhere(bare: Path):
    with pytest.raises(LookupError, match="AWS_PROFILE"):
        Aws().fetch()
    fault = asyncio.run(SigV4Credential("bedrock", "us-east-1", Fetched(Aws())).sign(CALL, None))
    assert isinstance(fault, Fault)
    assert fault.kind is FaultKind.BAD_CREDENTIALS
    assert "AWS_PROFILE" in fault.message


class Container(http.server.BaseHTTPRequestHandler):
    """What ECS and EKS give to those that run in them."""

    ends = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)

    def do_GET(self) -> None:
        said = {
            "AccessKeyId": "A",
            "SecretAccessKey": "S",
            "Token": "T",
            "Expiration": f"{self.ends:%Y-%m-%dT%H:%M:%SZ}",
        }
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def container() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Container)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/creds"
    server.shutdown()
    server.server_close()


def test_keys_that_end_are_known_to(bare: Path, container: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", container)
    assert Aws().fetch() == (AwsKeys("A", "S", "T"), Container.ends.timestamp())


def test_keys_are_fetched_once_for_many_calls():
    fetched = []

    def session(profile: str | None) -> SimpleNamespace:
        fetched.append(profile)
        frozen = SimpleNamespace(access_key="A", secret_key="S", token=None)
        return SimpleNamespace(get_credentials=lambda: SimpleNamespace(get_frozen_credentials=lambda: frozen))

    async def calls() -> list[Signed | Fault]:
        credential = SigV4Credential("bedrock", "us-east-1", Fetched(Aws("work", session)), lambda: NOW)
        return await asyncio.gather(*(credential.sign(CALL, None) for _ in range(5)))

    signed = asyncio.run(calls())
    assert fetched == ["work"]
    assert {dict(each.headers)["authorization"] for each in signed if isinstance(each, Signed)} == {
        authorization(CALL, AwsKeys("A", "S"))
    }
