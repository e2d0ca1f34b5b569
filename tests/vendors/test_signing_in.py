"""Signing in at the clouds through the whole gateway: botocore checks what arrives, and tokens come from a server here.

The clouds' own libraries fetch the tokens. Entra's come from the managed identity of an App Service, which is asked
over plain HTTP; a client secret is sent over TLS, to hosts of Microsoft's alone.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock
from urllib.parse import parse_qs, urlsplit

import anthropic
import botocore.auth
import httpx
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import jwt

from gateway.errors import FaultKind
from gateway.events import AttemptFailed
from tests.end_to_end import native
from tests.end_to_end.replaying import Heard, Replaying, Reply, replaying
from tests.running import RunningGateway, running_gateway

KEYS = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
TOKEN = "IQoJb3JpZ2luX2VjE/+=="
pytestmark = pytest.mark.filterwarnings("ignore:The load_credentials_from_file")


@contextmanager
def gateway_to(vendor: Replaying, **providers: dict[str, Any]) -> Iterator[RunningGateway]:
    """Every one of them is served by ``vendor``, below what ``base_url`` says."""
    made = {name: {**said, "base_url": vendor.url + said.get("base_url", "")} for name, said in providers.items()}
    once = {"retries": 0, "breaker": {"consecutive": 1000, "min_requests": 1000}}
    with running_gateway(json.dumps({"providers": made, "resilience": once})) as gateway:
        yield gateway


def ask(gateway: RunningGateway, model: str, stream: bool = False, text: str = "hi", **more: Any) -> httpx.Response:
    messages = [{"role": "user", "content": text}]
    asked = {"model": model, "messages": messages, "stream": stream, **more}
    return httpx.post(f"{gateway.base_url}/chat/completions", json=asked, timeout=30)


# AWS ------------------------------------------------------------------------------------------------------------------


def authorization(heard: Heard, session_token: str | None, keys: tuple[str, str] = KEYS) -> str:
    """By botocore, of the request as it arrived: its path and body as they are, the headers it says are signed."""
    said = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=(\S+)/(\d{8})/(\S+)/(\S+)/aws4_request, SignedHeaders=(\S+), Signature=\w{64}",
        heard.headers["authorization"],
    )
    assert said, heard.headers["authorization"]
    key_id, day, region, service, names = said.groups()
    assert key_id == keys[0]
    moment = datetime.strptime(heard.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert moment.strftime("%Y%m%d") == day
    assert abs(datetime.now(UTC) - moment) < timedelta(minutes=5)
    assert heard.headers.get("x-amz-security-token") == session_token
    # Botocore signs what it is given: the host is the URL's, and date and token it writes by itself.
    own = {"host", "x-amz-date", "x-amz-security-token"}
    given = {name: heard.headers[name] for name in names.split(";") if name not in own}
    request = AWSRequest(heard.method, f"http://{heard.headers['host']}{heard.path}", given, heard.body)
    with mock.patch.object(botocore.auth, "get_current_datetime", return_value=moment):
        botocore.auth.SigV4Auth(Credentials(*keys, session_token), service, region).add_auth(request)
    return str(request.headers["Authorization"])


class Signed(NamedTuple):
    """``path``: where the call goes, below the base."""

    model: str
    path: str
    settings: dict[str, Any] = {}
    stream: bool = False
    text: str = "hi"
    service: str = "bedrock"


PROFILE = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2"
PROFILE_PATH = "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fa1b2"
SAGEMAKER = {"vendor": "sagemaker"}
SIGNED: dict[str, Signed] = {
    "plain": Signed("amazon.nova-micro-v1:0", "/model/amazon.nova-micro-v1%3A0/converse"),
    "stream": Signed("amazon.nova-micro-v1:0", "/model/amazon.nova-micro-v1%3A0/converse-stream", stream=True),
    "ARN": Signed(PROFILE, f"{PROFILE_PATH}/converse"),
    "ARN, stream": Signed(PROFILE, f"{PROFILE_PATH}/converse-stream", stream=True),
    "odd name": Signed("my model+a~b(c)*é", "/model/my%20model%2Ba~b%28c%29%2A%C3%A9/converse"),
    "session token": Signed("m", "/model/m/converse", {"session_token": TOKEN}),
    "session token, stream": Signed("m", "/model/m/converse-stream", {"session_token": TOKEN}, stream=True),
    "unicode": Signed("m", "/model/m/converse", text='Zürich 🌞 \u2028 \x00 "q" \\ \r\n\t مرحبا'),
    "long": Signed("m", "/model/m/converse", text="ab\u00fc" * 200_000),
    "base with a path": Signed("a:0", "/aws/eu%20west/model/a%3A0/converse", {"base_url": "/aws/eu%20west/"}),
    "base with a query": Signed("a:0", "/x/model/a%3A0/converse?b=2&a=%2F&c", {"base_url": "/x?b=2&a=%2F&c"}),
    "region": Signed("m", "/model/m/converse", {"region": "eu-central-2"}),
    "headers of the operator's": Signed(
        "m", "/model/m/converse", {"headers": {"X-Amzn-Bedrock-Trace": "a  b", "x-team": "weather"}}
    ),
    "OpenAI's format": Signed("m", "/openai/v1/chat/completions", {"dialect": "openai_chat"}),
    "SageMaker": Signed("my-endpoint", "/endpoints/my-endpoint/invocations", SAGEMAKER, service="sagemaker"),
    "SageMaker, stream": Signed(
        "my-endpoint",
        "/endpoints/my-endpoint/invocations-response-stream",
        {**SAGEMAKER, "session_token": TOKEN, "headers": {"X-Amzn-SageMaker-Target-Variant": "blue"}},
        stream=True,
        service="sagemaker",
    ),
}


@pytest.fixture(scope="module")
def aws() -> Iterator[tuple[RunningGateway, Replaying]]:
    keys = {"vendor": "bedrock", "region": "us-east-1", "access_key_id": KEYS[0], "secret_access_key": KEYS[1]}
    names = {case: f"p{number}" for number, case in enumerate(SIGNED)}
    with (
        replaying() as vendor,
        gateway_to(vendor, **{names[case]: {**keys, **row.settings} for case, row in SIGNED.items()}) as gateway,
    ):
        yield gateway, vendor


@pytest.mark.parametrize("case", SIGNED)
def test_botocore_signs_what_arrives_alike(aws: tuple[RunningGateway, Replaying], case: str):
    gateway, vendor = aws
    row = SIGNED[case]
    family = native.BEDROCK
    if "dialect" in row.settings or row.service == "sagemaker":
        family = native.OPENAI_IN_PARTS if row.stream else native.OPENAI
    vendor.heard.clear()
    vendor.reply = family.reply(native.Said(text="hi"), row.stream)
    answer = ask(gateway, f"p{list(SIGNED).index(case)}/{row.model}", row.stream, row.text)
    assert answer.status_code == 200, answer.text
    (heard,) = vendor.heard
    assert heard.path == row.path
    assert heard.headers["authorization"] == authorization(heard, row.settings.get("session_token"))
    scope = f"/{row.settings.get('region', 'us-east-1')}/{row.service}/aws4_request"
    assert scope in heard.headers["authorization"]
    signed = re.findall(r"SignedHeaders=([^,]+)", heard.headers["authorization"])[0].split(";")
    assert {"content-type", "host", "x-amz-date"} <= set(signed)
    assert {name for name in heard.headers if name.startswith("x-amz")} <= set(signed)


def test_a_changed_request_is_seen_to_be_one(aws: tuple[RunningGateway, Replaying]):
    """The witness is awake."""
    gateway, vendor = aws
    vendor.heard.clear()
    vendor.reply = native.BEDROCK.reply(native.Said(text="hi"), False)
    ask(gateway, "p0/a:0")
    (heard,) = vendor.heard
    for path, body in ((heard.path + "x", heard.body), (heard.path, heard.body + b" ")):
        changed = Heard(heard.method, path, heard.headers, body)
        assert authorization(changed, None) != heard.headers["authorization"]


def test_keys_of_the_container_it_runs_in():
    """No keys in the configuration: botocore finds them where AWS's own tools would."""
    with replaying() as container, replaying() as vendor, ExitStack() as stack:
        ends = datetime.now(UTC) + timedelta(hours=1)
        keys = {
            "AccessKeyId": "ASIACONTAINER",
            "SecretAccessKey": "fetched/secret",
            "Token": TOKEN,
            "Expiration": f"{ends:%Y-%m-%dT%H:%M:%SZ}",
        }
        container.listing = Reply(body=json.dumps(keys).encode())
        env = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{container.url}/keys", "AWS_CONFIG_FILE": "/nowhere"}
        env |= {"AWS_SHARED_CREDENTIALS_FILE": "/nowhere", "AWS_EC2_METADATA_DISABLED": "true"}
        stack.enter_context(alone("AWS_", env))
        vendor.reply = native.BEDROCK.reply(native.Said(text="hi"), False)
        gateway = stack.enter_context(gateway_to(vendor, aws={"vendor": "bedrock", "region": "us-west-2"}))
        assert ask(gateway, "aws/m").status_code == 200
        (heard,) = vendor.heard
        expected = authorization(heard, TOKEN, ("ASIACONTAINER", "fetched/secret"))
        assert heard.headers["authorization"] == expected


@contextmanager
def alone(prefix: str, env: dict[str, str]) -> Iterator[None]:
    """Of the variables with this prefix, only these."""
    with mock.patch.dict(os.environ):
        for name in [name for name in os.environ if name.startswith(prefix)]:
            del os.environ[name]
        os.environ.update(env)
        yield


# Google ---------------------------------------------------------------------------------------------------------------

GOOGLES: dict[str, tuple[str, native.Family, str]] = {
    # a model of each face of Vertex, whose answers they are, where they are
    "gemini": ("gemini-2.5-flash", native.GEMINI, "publishers/google/models/gemini-2.5-flash:generateContent"),
    "claude": ("claude-sonnet-4-5", native.ANTHROPIC, "publishers/anthropic/models/claude-sonnet-4-5:rawPredict"),
    "mistral": ("mistral-medium-3", native.MISTRAL, "publishers/mistralai/models/mistral-medium-3:rawPredict"),
    "open": ("meta/llama-4", native.OPENAI, "endpoints/openapi/chat/completions"),
}


def test_a_service_account_of_googles(tmp_path: Path):
    """One token, for all that a project serves."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    with replaying() as google, replaying() as vendor:
        file = service_account(tmp_path, google.url, key)
        google.reply = Reply(
            body=json.dumps({"access_token": "ya29.fetched", "expires_in": 3600, "token_type": "Bearer"}).encode()
        )
        settings = {"vendor": "vertex", "project": "ours", "location": "us-east5", "credentials_file": file}
        with gateway_to(vendor, google=settings) as gateway:
            for model, family, path in GOOGLES.values():
                vendor.reply = family.reply(native.Said(text="hi"), False)
                assert ask(gateway, f"google/{model}").status_code == 200
                heard = vendor.heard.pop()
                assert heard.path.endswith(f"/projects/ours/locations/us-east5/{path}")
                assert heard.headers["authorization"] == "Bearer ya29.fetched"
                assert "x-goog-api-key" not in heard.headers
        (asked,) = google.heard
        form = {name: values[0] for name, values in parse_qs(asked.body.decode()).items()}
        assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        claims = jwt.decode(form["assertion"], certs=public.decode(), audience="https://oauth2.googleapis.com/token")
        assert claims["scope"] == "https://www.googleapis.com/auth/cloud-platform"


def service_account(folder: Path, url: str, key: rsa.RSAPrivateKey) -> str:
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    said = {
        "type": "service_account",
        "project_id": "ours",
        "private_key_id": "1",
        "private_key": text,
        "client_email": "robot@ours.iam.gserviceaccount.com",
        "token_uri": f"{url}/token",
    }
    file = folder / "account.json"
    file.write_text(json.dumps(said))
    return str(file)


def test_a_token_that_google_refuses_is_no_call(tmp_path: Path):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    with replaying() as google, replaying() as vendor:
        google.reply = Reply(status=400, body=b'{"error": "invalid_grant", "error_description": "Account not found"}')
        file = service_account(tmp_path, google.url, key)
        settings = {"vendor": "vertex", "project": "ours", "location": "global", "credentials_file": file}
        with gateway_to(vendor, google=settings) as gateway:
            answer = ask(gateway, "google/gemini-2.5-flash")
            (failed,) = gateway.of(AttemptFailed)
        assert answer.status_code == 502
        assert failed.fault.kind is FaultKind.BAD_CREDENTIALS
        assert failed.fault.message.startswith("no Google token: RefreshError:")
        assert vendor.heard == []


# Entra ----------------------------------------------------------------------------------------------------------------


def test_the_managed_identity_of_an_app_service():
    """One token, for OpenAI's models and for Claude; as Anthropic's own SDK sends one."""
    with replaying() as microsoft, replaying() as vendor, ExitStack() as stack:
        ends = int((datetime.now(UTC) + timedelta(hours=1)).timestamp())
        token = {"access_token": "eyJ0.fetched", "expires_on": str(ends), "token_type": "Bearer", "resource": "r"}
        microsoft.listing = Reply(body=json.dumps(token).encode())
        env = {"AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential"}
        stack.enter_context(alone("AZURE_", env))
        stack.enter_context(alone("IDENTITY_", {"IDENTITY_ENDPOINT": f"{microsoft.url}/msi", "IDENTITY_HEADER": "h"}))
        settings = {"vendor": "azure_openai", "credential": "default"}
        gateway = stack.enter_context(gateway_to(vendor, azure=settings))
        vendor.reply = native.OPENAI.reply(native.Said(text="hi"), False)
        answer = ask(gateway, "azure/gpt-4.1")
        assert answer.status_code == 200, answer.text
        vendor.reply = native.ANTHROPIC.reply(native.Said(text="hi"), False)
        assert ask(gateway, "azure/claude-sonnet-4-5").status_code == 200
        theirs = anthropic.AnthropicFoundry(
            azure_ad_token_provider=lambda: "eyJ0.fetched", base_url=f"{vendor.url}/anthropic", max_retries=0
        )
        theirs.messages.create(model="claude-sonnet-4-5", max_tokens=9, messages=[{"role": "user", "content": "hi"}])
        of_openai, of_claude, of_the_sdk = vendor.heard
        for heard in vendor.heard:
            assert heard.headers["authorization"] == "Bearer eyJ0.fetched"
            assert not {"api-key", "x-api-key"} & heard.headers.keys()
        assert of_openai.path == "/openai/v1/chat/completions"
        assert urlsplit(of_claude.path).path == of_the_sdk.path
