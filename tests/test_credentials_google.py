"""Google's tokens, got by google-auth from a token server on this machine: what is asked, and what we make of it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import jwt
from google.oauth2 import credentials

from gateway.credentials import Signed, Unsigned
from gateway.credentials.fetched import BearerCredential, Fetched
from gateway.credentials.google import INSTALL, SCOPES, Google, project_of
from gateway.errors import Fault, FaultKind

# The file is the operator's own: of any kind, and trusted.
pytestmark = pytest.mark.filterwarnings("ignore:The load_credentials_from_file")
ROOT = Path(__file__).parents[1]
CALL = Unsigned("POST", "https://aiplatform.googleapis.com/x")


class TokenServer(ThreadingHTTPServer):
    """Google's token endpoint, and the metadata server of a machine of Google's."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Listener)
        self.asked: list[dict[str, str]] = []
        self.status = 200
        self.place = f"127.0.0.1:{self.server_port}"


class Listener(BaseHTTPRequestHandler):
    server: TokenServer

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
        self.server.asked.append({key: values[0] for key, values in form.items()})
        token = {"access_token": f"token-{len(self.server.asked)}", "expires_in": 3600, "token_type": "Bearer"}
        self._answer(token if self.server.status == 200 else {"error": "invalid_grant", "error_description": "Gone."})

    def do_GET(self) -> None:
        self.server.asked.append({"path": self.path, "flavor": self.headers.get("metadata-flavor", "")})
        if "/token" in self.path:
            self._answer({"access_token": "machine", "expires_in": 1800, "token_type": "Bearer"})
        elif "recursive=true" in self.path:
            self._answer({"email": "robot@p.iam.gserviceaccount.com", "scopes": list(SCOPES), "aliases": ["default"]})
        else:
            self._answer(None)

    def _answer(self, said: Any) -> None:
        body = json.dumps(said).encode() if said else b"project-of-the-machine"
        self.send_response(self.server.status)
        self.send_header("metadata-flavor", "Google")
        self.send_header("content-type", "application/json" if said else "text/plain")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Not on the screen."""


@pytest.fixture
def server() -> Iterator[TokenServer]:
    with TokenServer() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def service_account(folder: Path, server: TokenServer, key: rsa.RSAPrivateKey, **more: str) -> str:
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    said = {
        "type": "service_account",
        "project_id": "ours",
        "private_key_id": "1",
        "private_key": text,
        "client_email": "robot@ours.iam.gserviceaccount.com",
        "token_uri": f"http://{server.place}/token",
    }
    return written(folder, {**said, **more})


@pytest.fixture
def google_is(server: TokenServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Users' tokens come from Google alone, whatever the file says."""
    monkeypatch.setattr(credentials, "_GOOGLE_OAUTH2_TOKEN_ENDPOINT", f"http://{server.place}/token")


def user(folder: Path, **more: str) -> str:
    said = {
        "type": "authorized_user",
        "client_id": "id",
        "client_secret": "secret",
        "refresh_token": "refresh",
    }
    return written(folder, {**said, **more})


def written(folder: Path, said: dict[str, str]) -> str:
    file = folder / "credentials.json"
    file.write_text(json.dumps(said))
    return str(file)


def test_a_service_account_signs_for_its_token(tmp_path: Path, server: TokenServer, key: rsa.RSAPrivateKey):
    source = Google(service_account(tmp_path, server, key))
    token, ends = source.fetch()
    assert (token.value, token.headers) == ("token-1", ())
    assert 3500 < ends - time.time() < 3700
    (asked,) = server.asked
    assert asked["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    claims = jwt.decode(asked["assertion"], certs=public.decode())
    assert claims["iss"] == "robot@ours.iam.gserviceaccount.com"
    assert claims["scope"] == SCOPES[0]
    assert source.fetch()[0].value == "token-2"


def test_a_user_refreshes_and_pays_for_the_quota(tmp_path: Path, server: TokenServer, google_is: None):
    token, _ = Google(user(tmp_path, quota_project_id="payer")).fetch()
    assert token.headers == (("x-goog-user-project", "payer"),)
    (asked,) = server.asked
    assert (asked["grant_type"], asked["refresh_token"]) == ("refresh_token", "refresh")


def test_what_signs_a_call(tmp_path: Path, server: TokenServer, google_is: None):
    async def twice() -> list[Signed | Fault]:
        credential = BearerCredential(Fetched(Google(user(tmp_path, quota_project_id="payer")), INSTALL))
        return [await credential.sign(CALL, None) for _ in range(2)]

    expected = Signed((("authorization", "Bearer token-1"), ("x-goog-user-project", "payer")), ("token-1",))
    assert asyncio.run(twice()) == [expected, expected]


def test_a_refusal_is_a_fault_that_says_so(tmp_path: Path, server: TokenServer, google_is: None):
    server.status = 400
    credential = BearerCredential(Fetched(Google(user(tmp_path)), INSTALL))
    fault = asyncio.run(credential.sign(CALL, None))
    assert isinstance(fault, Fault)
    assert fault.kind is FaultKind.BAD_CREDENTIALS
    assert "invalid_grant" in fault.message
    assert "refresh" not in fault.message.replace("RefreshError", "")


def test_a_file_that_is_not_there_is_a_fault(tmp_path: Path):
    fault = asyncio.run(BearerCredential(Fetched(Google(str(tmp_path / "none.json")), INSTALL)).sign(CALL, None))
    assert isinstance(fault, Fault)
    assert "was not found" in fault.message


FETCH = (
    "from gateway.credentials.google import Google; token, ends = Google().fetch(); print(token.value, token.headers)"
)


def default_credentials(folder: Path, **env: str) -> str:
    """In a process of its own: google-auth reads its environment when it is imported."""
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FETCH],
        cwd=ROOT,
        env={**kept, "HOME": str(folder), "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_default_credentials_of_a_machine(tmp_path: Path, server: TokenServer):
    said = default_credentials(
        tmp_path, GCE_METADATA_HOST=server.place, GCE_METADATA_IP=server.place, GCE_METADATA_ROOT=server.place
    )
    assert said == "machine ()"
    assert all(asked["flavor"] == "Google" for asked in server.asked)


def test_the_default_credentials_of_a_file(tmp_path: Path, server: TokenServer, key: rsa.RSAPrivateKey):
    file = service_account(tmp_path, server, key)
    said = default_credentials(
        tmp_path, GOOGLE_APPLICATION_CREDENTIALS=file, GOOGLE_CLOUD_PROJECT="p", GOOGLE_CLOUD_QUOTA_PROJECT="payer"
    )
    assert said == "token-1 (('x-goog-user-project', 'payer'),)"


def test_the_project_that_can_be_known_without_asking(tmp_path: Path):
    file = written(tmp_path, {"project_id": "in-file", "quota_project_id": "payer"})
    assert project_of(file, {}) == "in-file"
    assert project_of(None, {"GOOGLE_APPLICATION_CREDENTIALS": file}) == "in-file"
    assert project_of(file, {"GOOGLE_CLOUD_PROJECT": "in-env"}) == "in-env"
    usual = tmp_path / ".config" / "gcloud"
    usual.mkdir(parents=True)
    (usual / "application_default_credentials.json").write_text('{"quota_project_id": "payer"}')
    assert project_of(None, {"HOME": str(tmp_path)}) == "payer"
    assert project_of(None, {"CLOUDSDK_CONFIG": str(usual)}) == "payer"
    assert project_of(None, {"HOME": str(tmp_path / "nobody")}) is None
    assert project_of(written(tmp_path, {}), {}) is None
