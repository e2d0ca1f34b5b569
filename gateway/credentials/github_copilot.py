"""Copilot's two steps: GitHub's token, from the settings or kept by `skein login`, is exchanged for a short one."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from gateway.credentials import Signed, Unsigned
from gateway.credentials.fetched import BearerCredential, Fetched, Token
from gateway.errors import Fault
from gateway.vendors.github_copilot import EDITOR

if TYPE_CHECKING:
    import httpx

PUBLIC = "github.com"
LOGIN = "skein login github_copilot"
TIMEOUT = 10.0
# The exchange says how long a token lasts; where it does not, this is what is usual.
USUAL_LIFE = 1500.0
REFUSED_KINDS = {
    "ghp_": "a personal access token",
    "github_pat_": "a fine-grained personal access token",
    "ghs_": "an app's installation token",
}
"""How GitHub's tokens begin: https://github.blog/engineering/behind-githubs-new-authentication-token-formats/"""


class NoToken(Exception):
    """Why there is none, and what to do: one line."""


class Login(msgspec.Struct, frozen=True):
    """What `skein login` keeps."""

    token: str
    host: str = PUBLIC


class _Answer(msgspec.Struct):
    token: str
    expires_at: float | None = None
    refresh_in: float | None = None
    endpoints: dict[str, Any] | None = None


class Copilot:
    """The exchange. ``key`` is GitHub's token; without one it is read, at each exchange, from where the login keeps it.

    ``follows``: the token says where it is to be used. Not for a provider with a base URL of its own.
    """

    NAME = "GitHub Copilot"

    def __init__(
        self,
        key: str | None = None,
        *,
        follows: bool = True,
        env: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._key, self._follows, self._env, self._clock = key, follows, env, clock

    def fetch(self) -> tuple[Token, float]:
        login = self._login()
        url = self._env.get("GITHUB_COPILOT_TOKEN_URL") or exchange_url(login.host)
        require_tls(url)
        now = self._clock()
        answer = read_answer(_get(url, login.token), login)
        return Token(answer.token, origin=api_origin(answer) if self._follows else None), ends(answer, now)

    def _login(self) -> Login:
        if self._key:
            return Login(self._key, self._env.get("GITHUB_COPILOT_HOST") or PUBLIC)
        kept = read_login(login_path(self._env))
        if kept is None:
            raise NoToken(f"nobody is logged in: run `{LOGIN}`, or set GITHUB_COPILOT_TOKEN")
        return kept


class CopilotCredential:
    """A token for each of GitHub's tokens, as an account may hold several."""

    def __init__(self, source: Callable[[str | None], Copilot] = Copilot) -> None:
        self._source = source
        self._by_key: dict[str | None, BearerCredential] = {}

    async def sign(self, call: Unsigned, key: str | None) -> Signed | Fault:
        if key not in self._by_key:
            self._by_key[key] = BearerCredential(Fetched(self._source(key)))
        return await self._by_key[key].sign(call, key)

    def refused(self, key: str | None) -> bool:
        return key in self._by_key and self._by_key[key].refused(key)


def _get(url: str, token: str) -> httpx.Response:
    import httpx

    # Redirects are not followed: they would carry the token away.
    headers = {**EDITOR, "accept": "application/json", "authorization": f"token {token}"}
    try:
        return httpx.get(url, headers=headers, timeout=TIMEOUT)
    except httpx.HTTPError as error:
        raise NoToken(f"{urlsplit(url).hostname} cannot be reached: {error or type(error).__name__}") from None


def read_answer(reply: httpx.Response, login: Login) -> _Answer:
    """Raises ``NoToken`` with what a refusal means."""
    if reply.status_code != 200:
        raise NoToken(f"GitHub answered {reply.status_code}{_why(reply, login)}")
    try:
        answer = msgspec.json.decode(reply.content, type=_Answer)
    except msgspec.DecodeError:
        raise NoToken(f"what {reply.url.host} answered is no Copilot token") from None
    if not answer.token or not answer.token.isprintable():
        raise NoToken(f"the Copilot token that {reply.url.host} gave is empty")
    return answer


def _why(reply: httpx.Response, login: Login) -> str:
    """1. A kind of token it never takes. 2. One that is over. 3. No subscription, or another's words for it."""
    kind = next((kind for prefix, kind in REFUSED_KINDS.items() if login.token.startswith(prefix)), None)
    if kind and reply.status_code in (401, 403, 404):
        return f": {kind} is not taken here; `{LOGIN}` gets one that is"
    if reply.status_code == 401:
        return f": GitHub's token is no longer good; run `{LOGIN}` again"
    said = _words(reply).replace(login.token, "***")
    if reply.status_code in (403, 404):
        return f": this account has no Copilot{f' ({said})' if said else ''}; see https://github.com/settings/copilot"
    return f": {said}" if said else ""


def _words(reply: httpx.Response) -> str:
    """``error_details.message`` is for people, ``message`` for programs."""
    try:
        body = msgspec.json.decode(reply.content)
    except msgspec.DecodeError:
        return ""
    body = body if isinstance(body, dict) else {}
    details = body.get("error_details")
    said = (details.get("message") if isinstance(details, dict) else None) or body.get("message")
    return " ".join(str(said).split())[:100] if said else ""


def ends(answer: _Answer, now: float) -> float:
    """Counted from now where it says how long: our clock need not agree with GitHub's."""
    end = now + answer.refresh_in if answer.refresh_in else answer.expires_at or now + USUAL_LIFE
    return min(end, answer.expires_at) if answer.expires_at and answer.expires_at > now else end


def api_origin(answer: _Answer) -> str | None:
    """Where this account's calls go: it depends on the plan."""
    url = (answer.endpoints or {}).get("api")
    if not isinstance(url, str):
        return None
    require_tls(url)
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def exchange_url(host: str) -> str:
    """At GitHub's API, which has a host of its own beside each of its sites."""
    return f"https://api.{host}/copilot_internal/v2/token"


def site_url(host: str) -> str:
    """Where people log in. A test's own GitHub, on loopback, has no certificate."""
    return f"{'http' if is_loopback(urlsplit('//' + host).hostname or '') else 'https'}://{host}"


def require_tls(url: str) -> None:
    """Raises ``NoToken``: tokens travel encrypted, or within this machine."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        raise NoToken(f"{parts.scheme}://{parts.hostname} is no place to send a token to: only https is")


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


# What the login keeps -------------------------------------------------------------------------------------------------


def login_path(env: Mapping[str, str]) -> Path:
    """https://specifications.freedesktop.org/basedir-spec/latest/"""
    home = Path(env.get("HOME") or Path.home())
    base = Path(env.get("XDG_CONFIG_HOME") or "")
    return (base if base.is_absolute() else home / ".config") / "skein" / "github_copilot.json"


def read_login(path: Path) -> Login | None:
    """Nothing where there is no file. Raises ``NoToken`` for one that cannot be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Login)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError):
        raise NoToken(f"{path} cannot be read: remove it and run `{LOGIN}` again") from None


def keep_login(path: Path, login: Login) -> None:
    """For this user's eyes only; whole or not at all. Raises ``OSError``."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # It makes the file readable by its owner alone.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.encode(login) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def forget_login(path: Path) -> bool:
    """Was there one? Raises ``OSError``."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True
