"""Copilot's token exchange against a GitHub of ours, and what the login keeps."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from gateway.credentials import Signed, Unsigned
from gateway.credentials.fetched import RENEW_BEFORE, Fetched
from gateway.credentials.github_copilot import (
    Copilot,
    CopilotCredential,
    Login,
    NoToken,
    exchange_url,
    forget_login,
    keep_login,
    login_path,
    read_login,
    site_url,
)
from gateway.errors import Fault, FaultKind
from tests.serving import Asked, Says, Serving, serving

NOW = 1_000_000.0
CALL = Unsigned("POST", "https://api.githubcopilot.com/chat/completions")


def given(**said: Any) -> Says:
    return Says(body=json.dumps(said).encode())


TOKEN = given(
    token="tid=1;exp=2:x",
    expires_at=NOW + 1800,
    refresh_in=1500,
    endpoints={"api": "https://api.business.githubcopilot.com", "proxy": "https://p"},
    sku="x",
)


def copilot(github: Serving, key: str | None = "gho_key", **settings: Any) -> Copilot:
    env = {"GITHUB_COPILOT_TOKEN_URL": f"{github.url}/token", **settings.pop("env", {})}
    return Copilot(key, env=env, clock=lambda: NOW, **settings)


def test_the_exchange():
    with serving(lambda asked: TOKEN) as github:
        token, ends = copilot(github).fetch()
    (asked,) = github.asked
    assert (asked.method, asked.path) == ("GET", "/token")
    assert asked.headers["authorization"] == "token gho_key"
    assert {"editor-version", "editor-plugin-version"} <= set(asked.headers)
    assert "x-github-api-version" not in asked.headers, "that is of Copilot's API, not of GitHub's"
    assert (token.value, token.origin) == ("tid=1;exp=2:x", "https://api.business.githubcopilot.com")
    assert ends == NOW + 1500


def test_a_base_url_of_ones_own_is_kept():
    with serving(lambda asked: TOKEN) as github:
        assert copilot(github, follows=False).fetch()[0].origin is None


ENDS: dict[str, tuple[dict[str, Any], float]] = {
    "refresh_in, when sooner": ({"expires_at": NOW + 1800, "refresh_in": 1500}, NOW + 1500),
    "expires_at, when sooner": ({"expires_at": NOW + 900, "refresh_in": 1500}, NOW + 900),
    "expires_at alone": ({"expires_at": NOW + 1800}, NOW + 1800),
    "refresh_in alone": ({"refresh_in": 1500}, NOW + 1500),
    "our clock is ahead by an hour": ({"expires_at": NOW - 1800, "refresh_in": 1500}, NOW + 1500),
    "neither": ({}, NOW + 1500),
}


@pytest.mark.parametrize(("said", "ends"), ENDS.values(), ids=ENDS)
def test_when_it_ends(said: dict[str, Any], ends: float):
    with serving(lambda asked: given(token="t", **said)) as github:
        token, found = copilot(github).fetch()
    assert (found, token.origin) == (ends, None)


def words(status: int, **said: Any) -> Says:
    return Says(status, json.dumps(said).encode())


REFUSED: dict[str, tuple[str, Says, str]] = {
    "a personal access token": (
        "ghp_x",
        words(404, message="Not Found"),
        "GitHub answered 404: a personal access token is not taken here; `skein login github_copilot` gets one that is",
    ),
    "a fine-grained one": ("github_pat_x", words(403, message="no"), "a fine-grained personal access token is not"),
    "an installation's": ("ghs_x", words(403, message="Resource not accessible by integration"), "an app's installati"),
    "a token that is over": (
        "gho_x",
        words(401, message="Bad credentials"),
        "GitHub's token is no longer good; run `skein login github_copilot` again",
    ),
    "no subscription": (
        "gho_x",
        words(403, message="x", error_details={"message": "Upgrade\nplease, gho_x"}),
        "this account has no Copilot (Upgrade please, ***); see https://github.com/settings/copilot",
    ),
    "no words": ("gho_x", Says(404, b"<html>"), "this account has no Copilot; see"),
    "GitHub is down": ("ghp_x", Says(502, b"<html>"), "GitHub answered 502"),
    "not JSON": ("gho_x", Says(200, b"<html>"), "what 127.0.0.1 answered is no Copilot token"),
    "another JSON": ("gho_x", given(message="hi"), "what 127.0.0.1 answered is no Copilot token"),
    "an empty token": ("gho_x", given(token=""), "is empty"),
    "a redirect": ("gho_x", Says(302, b"", {"location": "/elsewhere"}), "GitHub answered 302"),
    "an origin in the clear": (
        "gho_x",
        given(token="t", endpoints={"api": "http://evil.example"}),
        "http://evil.example is no place to send a token to",
    ),
}


@pytest.mark.parametrize(("key", "says", "told"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_is_explained(key: str, says: Says, told: str):
    with serving(lambda asked: says) as github, pytest.raises(NoToken) as caught:
        copilot(github, key).fetch()
    assert told in str(caught.value)
    assert len(github.asked) == 1
    assert key not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_token_is_not_sent_in_the_clear():
    with pytest.raises(NoToken, match="only https is"):
        Copilot("gho_x", env={"GITHUB_COPILOT_TOKEN_URL": "http://api.github.example/token"}).fetch()


def test_nobody_there():
    with serving(lambda asked: TOKEN) as github:
        pass
    with pytest.raises(NoToken, match=r"127\.0\.0\.1 cannot be reached"):
        copilot(github).fetch()


def test_the_login_is_read_at_each_exchange(tmp_path: Path):
    env = {"XDG_CONFIG_HOME": str(tmp_path)}
    with serving(lambda asked: TOKEN) as github:
        source = copilot(github, None, env=env)
        with pytest.raises(NoToken, match="nobody is logged in: run `skein login github_copilot`"):
            source.fetch()
        keep_login(login_path(env), Login("gho_kept"))
        source.fetch()
        copilot(github, "gho_set", env=env).fetch()
    assert [asked.headers["authorization"] for asked in github.asked] == ["token gho_kept", "token gho_set"]


def test_hosts():
    assert exchange_url("github.com") == "https://api.github.com/copilot_internal/v2/token"
    assert exchange_url("acme.ghe.com") == "https://api.acme.ghe.com/copilot_internal/v2/token"
    assert site_url("acme.ghe.com") == "https://acme.ghe.com"
    assert site_url("127.0.0.1:9") == "http://127.0.0.1:9"


def sign(credential: CopilotCredential, key: str | None) -> Signed | Fault:
    return asyncio.run(credential.sign(CALL, key))


def test_each_key_has_a_token_of_its_own():
    def answer(asked: Asked) -> Says:
        return given(token=f"for {asked.headers['authorization'].split()[-1]}", refresh_in=1500)

    async def story(github: Serving) -> list[Signed | Fault]:
        env = {"GITHUB_COPILOT_TOKEN_URL": github.url}
        credential = CopilotCredential(lambda key: Copilot(key, env=env))
        return [await credential.sign(CALL, key) for key in ("one", "two", "one")]

    with serving(answer) as github:
        signed = asyncio.run(story(github))
    assert [each.headers for each in signed] == [
        (("authorization", f"Bearer for {key}"),) for key in ("one", "two", "one")
    ]
    assert len(github.asked) == 2


def test_it_is_renewed_before_refresh_in_is_over():
    async def story(github: Serving) -> None:
        now = [NOW]
        env = {"GITHUB_COPILOT_TOKEN_URL": github.url}
        tokens = Fetched(Copilot("gho_x", env=env, clock=lambda: now[0]), clock=lambda: now[0])
        await tokens.get()
        now[0] += 1500 - RENEW_BEFORE
        await tokens.get()
        assert len(github.asked) == 1
        now[0] += 1
        await tokens.get()
        assert tokens._fetching is not None
        await tokens._fetching
        assert len(github.asked) == 2

    with serving(lambda asked: TOKEN) as github:
        asyncio.run(story(github))


def test_a_fault_says_why():
    with serving(lambda asked: words(401, message="Bad credentials")) as github:
        env = {"GITHUB_COPILOT_TOKEN_URL": github.url}
        fault = sign(CopilotCredential(lambda key: Copilot(key, env=env)), "gho_x")
    assert isinstance(fault, Fault)
    assert (fault.kind, fault.origin) == (FaultKind.BAD_CREDENTIALS, "gateway")
    assert "run `skein login github_copilot` again" in fault.message


# --- what is kept ----------------------------------------------------------------------------------------------------

PATHS = [
    ({"XDG_CONFIG_HOME": "/x", "HOME": "/h"}, "/x/skein/github_copilot.json"),
    ({"HOME": "/h"}, "/h/.config/skein/github_copilot.json"),
    ({"XDG_CONFIG_HOME": "", "HOME": "/h"}, "/h/.config/skein/github_copilot.json"),
    ({"XDG_CONFIG_HOME": "relative", "HOME": "/h"}, "/h/.config/skein/github_copilot.json"),
]


@pytest.mark.parametrize(("env", "path"), PATHS)
def test_where_it_is_kept(env: dict[str, str], path: str):
    assert str(login_path(env)) == path


def test_it_is_kept_for_its_owner_alone(tmp_path: Path):
    path = tmp_path / "new" / "skein" / "github_copilot.json"
    assert read_login(path) is None
    keep_login(path, Login("one"))
    keep_login(path, Login("two", "acme.ghe.com"))
    assert read_login(path) == Login("two", "acme.ghe.com")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert (forget_login(path), forget_login(path), read_login(path)) == (True, False, None)


def test_what_cannot_be_written_leaves_what_there_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "github_copilot.json"
    keep_login(path, Login("one"))

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        keep_login(path, Login("two"))
    assert read_login(path) == Login("one")
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff"])
def test_a_damaged_file_is_told(tmp_path: Path, content: bytes):
    path = tmp_path / "github_copilot.json"
    path.write_bytes(content)
    with pytest.raises(NoToken, match=r"github_copilot\.json cannot be read: remove it and run `skein login"):
        read_login(path)
