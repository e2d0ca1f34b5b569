"""How each kind of signing in is shown, and what a shell puts in the secret's place."""

from __future__ import annotations

import pytest

from gateway.cli.signing import GOOGLE, introductions, secrets_of, signing_of
from gateway.config import Config, parse
from gateway.vendors import Vendor

ENV = {
    "KEY": "key-0123456789",
    "AWS_ID": "AKIAABCDEFGHIJKLMNOP",
    "AWS_SECRET": "secret-of-aws-0123456789",
    "AWS_TOKEN": "token-of-aws-0123456789",
    "CLIENT_SECRET": "secret-of-databricks-01",
}


def config(provider: str) -> Config:
    return parse(f"providers: {{p: {{{provider}}}}}", ENV)


AWS = "vendor: bedrock, region: eu-west-1"
VERTEX = "vendor: vertex, project: mine, location: global"
CHAIN = '# eval "$(aws configure export-credentials --format env'
WAYS = [
    pytest.param("vendor: openai, api_key: '${KEY}'", "Authorization: Bearer **** ($KEY)",
                 {"Authorization": "Bearer $KEY"}, [], id="bearer"),
    pytest.param("vendor: anthropic, api_key: '${KEY}'", "x-api-key: **** ($KEY)", {"x-api-key": "$KEY"}, [],
                 id="x-api-key"),
    pytest.param("vendor: google, api_key: key-in-the-file", "x-goog-api-key: **** (in the file)",
                 {"x-goog-api-key": "$P_API_KEY"}, ["# P_API_KEY: the key of provider p"], id="x-goog-api-key"),
    pytest.param(VERTEX, "Authorization: Bearer **** (Google)", {"Authorization": f"Bearer {GOOGLE}"}, [], id="google"),
    pytest.param(f"{VERTEX}, ad_token: '${{KEY}}'", "Authorization: Bearer **** ($KEY)",
                 {"Authorization": "Bearer $KEY"}, [], id="a token"),
    pytest.param("vendor: github_copilot, api_key: '${KEY}'", "Authorization: Bearer **** (GitHub, for $KEY)",
                 {"Authorization": "Bearer $COPILOT_TOKEN"},
                 ['# COPILOT_TOKEN=$(curl -sS -H "Authorization: token $KEY" '
                  "https://api.github.com/copilot_internal/v2/token | jq -r .token)"], id="copilot"),
    pytest.param("vendor: github_copilot", "Authorization: Bearer **** (skein login)",
                 {"Authorization": "Bearer $COPILOT_TOKEN"},
                 ['# COPILOT_TOKEN=$(curl -sS -H "Authorization: token $GITHUB_COPILOT_TOKEN" '
                  "https://api.github.com/copilot_internal/v2/token | jq -r .token)"], id="copilot, logged in"),
    pytest.param("vendor: databricks, base_url: 'https://dbc.test', client_id: me, client_secret: '${CLIENT_SECRET}'",
                 "Authorization: Bearer **** (OAuth of Databricks)",
                 {"Authorization": "Bearer $DATABRICKS_OAUTH_TOKEN"},
                 ["# P_CLIENT_ID: client_id of provider p",
                  '# DATABRICKS_OAUTH_TOKEN=$(curl -sS -u "$P_CLIENT_ID:$CLIENT_SECRET" -d '
                  "'grant_type=client_credentials&scope=all-apis' https://dbc.test/oidc/v1/token | "
                  "jq -r .access_token)"],
                 id="databricks"),
    pytest.param(f"{AWS}, api_key: '${{KEY}}'", "Authorization: Bearer **** ($KEY)", {"Authorization": "Bearer $KEY"},
                 [], id="bedrock's own key"),
    pytest.param(AWS, "Authorization: AWS4-HMAC-SHA256 **** (AWS)", {"X-Amz-Security-Token": "$AWS_SESSION_TOKEN"},
                 [f'{CHAIN})"'], id="aws"),
    pytest.param(f"{AWS}, profile: dev", "Authorization: AWS4-HMAC-SHA256 **** (AWS)",
                 {"X-Amz-Security-Token": "$AWS_SESSION_TOKEN"}, [f'{CHAIN} --profile dev)"'], id="aws, a profile"),
    pytest.param(f"{AWS}, access_key_id: '${{AWS_ID}}', secret_access_key: '${{AWS_SECRET}}'",
                 "Authorization: AWS4-HMAC-SHA256 **** (AWS, $AWS_ID)", {}, [], id="aws, keys"),
    pytest.param(f"{AWS}, access_key_id: AKIAABCDEFGHIJKLMNOP, secret_access_key: '${{AWS_SECRET}}', "
                 "session_token: '${AWS_TOKEN}'",
                 "Authorization: AWS4-HMAC-SHA256 **** (AWS, in the file)", {"X-Amz-Security-Token": "$AWS_TOKEN"},
                 ["# P_ACCESS_KEY_ID: access_key_id of provider p"], id="aws, keys of a session"),
    pytest.param("vendor: ollama", "no key", {}, [], id="nothing"),
]  # fmt: skip


@pytest.mark.parametrize(("provider", "shown", "headers", "introduced"), WAYS)
def test_ways_to_sign_in(provider: str, shown: str, headers: dict[str, str], introduced: list[str]) -> None:
    found = config(provider)
    signing = signing_of("p", found)
    assert signing.shown == shown
    assert dict(signing.for_shell) == headers
    assert list(introductions("p", found, signing)) == introduced
    told = f"{signing} {introduced}"
    assert not [secret for secret in secrets_of(found.providers["p"]) if secret in told]


@pytest.mark.parametrize(
    ("provider", "options"),
    [
        (AWS, '--aws-sigv4 "aws:amz:eu-west-1:bedrock" --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY"'),
        (
            f"{AWS}, access_key_id: '${{AWS_ID}}', secret_access_key: '${{AWS_SECRET}}'",
            '--aws-sigv4 "aws:amz:eu-west-1:bedrock" --user "$AWS_ID:$AWS_SECRET"',
        ),
        ("vendor: sagemaker_tgi, region: us-east-1", '--aws-sigv4 "aws:amz:us-east-1:sagemaker" --user "$AWS_'),
        (f"{AWS}, api_key: '${{KEY}}'", ""),
    ],
)
def test_curl_signs_for_itself_what_no_header_can_hold(provider: str, options: str) -> None:
    said = " ".join(signing_of("p", config(provider)).options)
    assert said.startswith(options)
    assert bool(said) == bool(options)


def test_each_face_signs_in_as_it_wants() -> None:
    found = config("vendor: google, api_key: '${KEY}'")
    vendor = found.vendors["google"]
    shown = {face.dialect: signing_of("p", found, face).shown for face in (vendor, *vendor.faces)}
    assert shown == {"gemini": "x-goog-api-key: **** ($KEY)", "openai_chat": "Authorization: Bearer **** ($KEY)"}


def test_what_clouds_give_is_secret() -> None:
    provider = (
        f"{AWS}, access_key_id: '${{AWS_ID}}', secret_access_key: '${{AWS_SECRET}}', session_token: '${{AWS_TOKEN}}'"
    )
    assert set(secrets_of(config(provider).providers["p"])) == {ENV["AWS_SECRET"], ENV["AWS_TOKEN"]}


def test_a_vendor_without_identity_and_key_sends_nothing() -> None:
    found = config("vendor: openai_compatible, base_url: 'http://127.0.0.1:9/v1'")
    bare: Vendor = found.vendors["openai_compatible"]
    assert signing_of("p", found, bare).header == ""
