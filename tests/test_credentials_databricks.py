"""Databricks' OAuth for service principals, against a server of tokens on this machine."""

from __future__ import annotations

import asyncio
import base64
import json

from gateway.credentials import Unsigned
from gateway.credentials.databricks import Databricks
from gateway.credentials.fetched import BearerCredential, Fetched
from gateway.errors import Fault, FaultKind
from tests.serving import Asked, Says, serving

CALL = Unsigned("POST", "https://dbc/serving-endpoints/m/invocations")


def test_a_token_for_an_id_and_a_secret():
    def answer(asked: Asked) -> Says:
        return Says(body=json.dumps({"access_token": "t-1", "token_type": "Bearer", "expires_in": 3600}).encode())

    with serving(answer) as server:
        token, ends = Databricks(server.url, "id", "se:cret", lambda: 1000.0).fetch()
    assert (token.value, ends) == ("t-1", 4600.0)
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("POST", "/oidc/v1/token")
    assert asked.form == {"grant_type": "client_credentials", "scope": "all-apis"}
    assert asked.headers["authorization"] == "Basic " + base64.b64encode(b"id:se:cret").decode()


def test_it_signs_calls_in():
    with serving(lambda asked: Says(body=b'{"access_token": "t-1"}')) as server:
        credential = BearerCredential(Fetched(Databricks(server.url, "id", "secret")))
        signed = asyncio.run(credential.sign(CALL, None))
    assert not isinstance(signed, Fault)
    assert signed.headers == (("authorization", "Bearer t-1"),)


REFUSALS = {
    401: b'{"error": "invalid_client", "error_description": "Client authentication failed"}',
    403: b'{"message": "what is hush?"}',
    404: b"<html>",
    200: b'{"token_type": "Bearer"}',
}


def test_a_refusal_is_told_without_the_secret():
    for status, body in REFUSALS.items():
        with serving(lambda asked, status=status, body=body: Says(status, body)) as server:
            credential = BearerCredential(Fetched(Databricks(server.url, "id", "hush")))
            fault = asyncio.run(credential.sign(CALL, None))
        assert isinstance(fault, Fault)
        assert fault.kind is FaultKind.BAD_CREDENTIALS
        assert f"answered {status}" in fault.message
        assert "hush" not in fault.message


def test_nobody_answers():
    with serving(lambda asked: Says()) as server:
        url = server.url
    fault = asyncio.run(BearerCredential(Fetched(Databricks(url, "id", "hush"))).sign(CALL, None))
    assert isinstance(fault, Fault)
    assert "Databricks" in fault.message
