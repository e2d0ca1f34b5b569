"""``skein login`` and ``skein logout``, against a GitHub of ours; the waiting is a list of numbers."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import login
from gateway.cli.login import Device, LoginFailed, Outside, ask_for_code, device_flow, post_form, read_host
from gateway.errors import OperatorError
from tests.cli.conftest import Skein
from tests.serving import Asked, Says, Serving, serving

DEVICE = {
    "device_code": "dc",
    "user_code": "ABCD-1234",
    "verification_uri": "https://github.com/login/device",
    "expires_in": 900,
    "interval": 5,
}
PENDING, GOT = {"error": "authorization_pending"}, {"access_token": "gho_new", "token_type": "bearer", "scope": ""}
COPILOT = {"token": "tid=1", "refresh_in": 1500, "endpoints": {"api": "https://api.individual.githubcopilot.com"}}


class Github:
    """Answers the code, then the polls one after the other (the last one again and again), and the exchange."""

    def __init__(self, *polls: Any, device: Any = DEVICE, exchange: Any = COPILOT, exchange_status: int = 200) -> None:
        self.polls, self.device, self.exchange = list(polls), device, Says(exchange_status, _json(exchange))

    def __call__(self, asked: Asked) -> Says:
        match asked.path:
            case "/login/device/code":
                return _said(self.device)
            case "/login/oauth/access_token":
                return _said(self.polls.pop(0) if len(self.polls) > 1 else self.polls[0])
            case "/token":
                return self.exchange
        return Says(404, b"<html>")


def _json(said: Any) -> bytes:
    return json.dumps(said).encode()


def _said(said: Any) -> Says:
    return said if isinstance(said, Says) else Says(200, _json(said))


class Time:
    """Nobody waits: the clock goes on by what is slept."""

    def __init__(self) -> None:
        self.now, self.slept = 0.0, []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    @property
    def outside(self) -> Outside:
        return Outside(post_form, lambda: self.now, self.sleep)


@pytest.fixture
def time() -> Time:
    return Time()


# --- the flow --------------------------------------------------------------------------------------------------------


def test_the_code_is_shown_and_the_token_comes(time: Time, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Github(PENDING, PENDING, GOT)) as github:
        assert device_flow(github.url, "client", 900, time.outside) == "gho_new"
    first, *polls = github.asked
    assert (first.method, first.form) == ("POST", {"client_id": "client", "scope": "read:user"})
    assert first.headers["accept"] == "application/json"
    assert [poll.form for poll in polls] == [
        {
            "client_id": "client",
            "device_code": "dc",
            "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        }
    ] * 3
    assert time.slept == [5, 5, 5]
    said = capsys.readouterr()
    assert "open https://github.com/login/device and enter the code ABCD-1234" in said.err
    assert "15 min" in said.err
    assert said.out == ""


WAITS: dict[str, tuple[dict[str, Any], list[Any], list[float]]] = {
    "slow_down adds five seconds": ({}, [PENDING, {"error": "slow_down"}, PENDING, GOT], [5, 5, 10, 10]),
    "slow_down says how slow": ({}, [{"error": "slow_down", "interval": 20}, GOT], [5, 20]),
    "slow_down never means faster": ({}, [{"error": "slow_down", "interval": 1}, GOT], [5, 10]),
    "no interval": ({"interval": None}, [GOT], [5]),
    "an interval of nothing": ({"interval": 0}, [PENDING, GOT], [1, 1]),
    "numbers as text": ({"interval": "7", "expires_in": "60"}, [GOT], [7]),
    "GitHub is away for a moment": ({}, [Says(502, b"<html>"), Says(429, b""), GOT], [5, 10, 15]),
}


@pytest.mark.parametrize(("device", "polls", "slept"), WAITS.values(), ids=WAITS)
def test_how_long_it_waits(time: Time, device: dict[str, Any], polls: list[Any], slept: list[float]) -> None:
    said = {name: value for name, value in {**DEVICE, **device}.items() if value is not None}
    with serving(Github(*polls, device=said)) as github:
        device_flow(github.url, "client", 900, time.outside)
    assert time.slept == slept


ENDS: dict[str, tuple[Any, str]] = {
    "denied": ({"error": "access_denied"}, "it was refused in the browser"),
    "expired": ({"error": "expired_token"}, "the code was not entered in time"),
    "a wrong app": ({"error": "incorrect_client_credentials"}, "look at GITHUB_COPILOT_CLIENT_ID"),
    "no device flow": ({"error": "device_flow_disabled"}, "look at GITHUB_COPILOT_CLIENT_ID"),
    "something new": ({"error": "odd", "error_description": "quite\nodd"}, "GitHub says: quite odd"),
    "an empty token": ({"access_token": ""}, "what answered is not GitHub"),
    "no JSON": (Says(200, b"<html>"), "what answered is not GitHub"),
    "a list": ([], "what answered is not GitHub"),
}


@pytest.mark.parametrize(("poll", "told"), ENDS.values(), ids=ENDS)
def test_how_it_ends_badly(time: Time, poll: Any, told: str) -> None:
    with serving(Github(PENDING, poll)) as github, pytest.raises(LoginFailed, match=told):
        device_flow(github.url, "client", 900, time.outside)
    assert len(time.slept) == 2


NO_CODE: dict[str, tuple[Any, str]] = {
    "no such app": ({"error": "Not Found"}, "GitHub says: Not Found"),
    "no device flow": ({"error": "device_flow_disabled"}, "look at GITHUB_COPILOT_CLIENT_ID"),
    "no GitHub": (Says(404, b"<html>"), "look at --host"),
    "half an answer": ({"device_code": "dc"}, "look at --host"),
    "a code that moves the cursor": ({**DEVICE, "user_code": "\x1b[2J"}, "look at --host"),
    "GitHub is away": (Says(503, b""), "cannot be reached: it answered 503"),
}


@pytest.mark.parametrize(("device", "told"), NO_CODE.values(), ids=NO_CODE)
def test_no_code_to_enter(device: Any, told: str) -> None:
    with serving(Github(PENDING, device=device)) as github, pytest.raises(LoginFailed, match=told):
        ask_for_code(github.url, "client", post_form)


def test_patience_ends_and_so_does_the_code(time: Time, capsys: pytest.CaptureFixture[str]) -> None:
    outside = Outside(lambda url, form: DEVICE if url.endswith("/code") else PENDING, time.outside.clock, time.sleep)
    with pytest.raises(LoginFailed, match="longer --timeout"):
        device_flow("https://github.com", "client", 62, outside)
    assert sum(time.slept) == 60
    assert capsys.readouterr().err.count("still waiting") == 1
    time.slept.clear()
    with pytest.raises(LoginFailed, match=r"not entered in time: try again$"):
        device_flow("https://github.com", "client", 10_000, outside)
    assert 900 - 10 <= sum(time.slept) <= 900


def test_the_shortest_answer_is_enough() -> None:
    with serving(Github(PENDING, device={name: DEVICE[name] for name in list(DEVICE)[:3]})) as github:
        assert ask_for_code(github.url, "client", post_form) == Device("dc", "ABCD-1234", DEVICE["verification_uri"])


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    time = Time()
    monkeypatch.setattr(login, "Outside", lambda post: Outside(post, lambda: time.now, time.sleep))


def env_of(github: Serving, tmp_path: Path, **more: str) -> dict[str, str]:
    return {
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "GITHUB_COPILOT_HOST": github.host,
        "GITHUB_COPILOT_TOKEN_URL": f"{github.url}/token",
        **more,
    }


@pytest.mark.usefixtures("at_once")
def test_in_and_out(skein: Skein, tmp_path: Path) -> None:
    path = tmp_path / "config" / "skein" / "github_copilot.json"
    with serving(Github(PENDING, GOT)) as github:
        env = env_of(github, tmp_path)
        assert skein("login", env=env).out.splitlines()[1].split("  ")[-1] == "not logged in"
        ran = skein("login", "github_copilot", env=env)
        assert (ran.code, ran.out.splitlines()[0]) == (0, f"logged in to {github.host}: the token is in {path}")
        assert "ABCD-1234" in ran.err
        assert github.asked[-1].headers["authorization"] == "token gho_new"
        assert json.loads(path.read_bytes()) == {"token": "gho_new", "host": github.host}
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert f"logged in to {github.host}, in {path}" in skein("login", env=env).out
        assert "gho_new" not in skein("login", env=env).out + ran.out + ran.err
        assert skein("logout", "github_copilot", env=env).out == f"logged out: {path} is gone\n"
        assert not path.exists()
        ran = skein("logout", "github_copilot", env=env)
        assert (ran.code, ran.out) == (0, "nobody was logged in\n")


@pytest.mark.usefixtures("at_once")
def test_the_host_and_the_app_may_be_others(skein: Skein, tmp_path: Path) -> None:
    with serving(Github(GOT)) as github:
        env = env_of(github, tmp_path, GITHUB_COPILOT_HOST="nobody.invalid", GITHUB_COPILOT_CLIENT_ID="own-app")
        ran = skein("login", "github_copilot", "--host", f"http://{github.host}/login", env=env)
    assert ran.code == 0
    assert [asked.form["client_id"] for asked in github.asked if asked.method == "POST"] == ["own-app", "own-app"]


@pytest.mark.usefixtures("at_once")
def test_a_login_without_copilot_is_kept_and_told(skein: Skein, tmp_path: Path) -> None:
    with serving(Github(GOT, exchange={"message": "no seat"}, exchange_status=403)) as github:
        ran = skein("login", "github_copilot", env=env_of(github, tmp_path, GITHUB_COPILOT_TOKEN="gho_old"))
    assert ran.code == 1
    assert "but Copilot cannot be used with it: GitHub answered 403: this account has no Copilot (no seat)" in ran.err
    assert "GITHUB_COPILOT_TOKEN is set too, and comes first" in ran.err
    assert (tmp_path / "config" / "skein" / "github_copilot.json").exists()


@pytest.mark.usefixtures("at_once")
def test_a_refusal_is_one_line_and_exit_code_1(skein: Skein, tmp_path: Path) -> None:
    with serving(Github({"error": "access_denied"})) as github:
        ran = skein("login", "github_copilot", env=env_of(github, tmp_path))
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.splitlines()[-1] == "not logged in: it was refused in the browser"
    assert not (tmp_path / "config").exists()


@pytest.mark.usefixtures("at_once")
def test_a_token_that_cannot_be_kept_is_told(skein: Skein, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("in the way")
    with serving(Github(GOT)) as github:
        ran = skein("login", "github_copilot", env=env_of(github, tmp_path))
    assert (ran.code, ran.out) == (1, "")
    assert "the token cannot be kept in" in ran.err


WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    "a slip": (("login", "github-copilot"), 'there is no login for "github-copilot" (did you mean "github_copilot"?)'),
    "a vendor with keys": (("login", "openai"), "(set providers.openai.api_key instead)"),
    "nobody": (("logout", "x"), '(there is one for github_copilot)'),
    "no host": (("login", "github_copilot", "--host", "a b"), '--host: "a b" is no host (write it as acme.ghe.com)'),
    "no duration": (("login", "github_copilot", "--timeout", "soon"), "--timeout: soon is not a duration"),
}  # fmt: skip


@pytest.mark.parametrize(("words", "told"), WRONG.values(), ids=WRONG)
def test_a_wrong_command(skein: Skein, words: tuple[str, ...], told: str) -> None:
    ran = skein(*words)
    assert (ran.code, ran.out) == (2, "")
    assert told in ran.err


@pytest.mark.parametrize(
    ("pasted", "host"),
    [
        ("acme.ghe.com", "acme.ghe.com"),
        (" https://ACME.ghe.com/login/device ", "acme.ghe.com"),
        ("127.0.0.1:9", "127.0.0.1:9"),
    ],
)
def test_a_host_as_pasted(pasted: str, host: str) -> None:
    assert read_host(pasted) == host


@pytest.mark.parametrize("pasted", ["a@b", "..", "-a", "a_b c", "ftp://x", "a:b", "[::1]"])
def test_what_is_no_host(pasted: str) -> None:
    with pytest.raises(OperatorError):
        read_host(pasted)
