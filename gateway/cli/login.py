"""``skein login`` and ``skein logout``: for vendors whose key is got in a browser. Today that is GitHub Copilot."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.cli import FAILED, OK, UsageError, add_command
from gateway.cli.printing import print_columns, remark
from gateway.credentials import github_copilot as copilot
from gateway.errors import did_you_mean
from gateway.units import parse_duration
from gateway.vendors import VENDORS

if TYPE_CHECKING:
    import httpx

EXAMPLES = """\
  skein login                          what can be logged into, and where we are
  skein login github_copilot           shows a code to enter on github.com, and waits
  skein login github_copilot --host acme.ghe.com"""
LOGOUT_EXAMPLES = """\
  skein logout github_copilot"""

# The id of the editor's own app, as a token of any other is refused by the exchange. It is public, not a secret.
CLIENT_ID = "Iv1.b507a08c87ecfe98"
SCOPE = "read:user"
GRANT = "urn:ietf:params:oauth:grant-type:device_code"
TIMEOUT = "15m"
# https://www.rfc-editor.org/rfc/rfc8628#section-3.2 and 3.5
USUAL_INTERVAL = SLOWER_BY = 5.0
TELL_EVERY = 30.0
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:\d{1,5})?")
_BOGUS = {"error": "not_an_answer"}


class LoginFailed(Exception):
    """Why nobody is logged in, and what to do."""


class Device(msgspec.Struct, frozen=True):
    """What the user is to do, and how to ask whether it is done."""

    device_code: str
    user_code: str
    verification_uri: str
    expires_in: float = 900.0
    interval: float = USUAL_INTERVAL


Post = Callable[[str, dict[str, str]], dict[str, Any]]
"""A URL and a form in, the JSON object of the answer out. Raises ``OSError`` where there was none."""


class Outside(msgspec.Struct, frozen=True):
    """Network, clock and patience, as the tests have theirs."""

    post: Post
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def add(commands: Any) -> None:
    command = add_command(
        commands,
        "login",
        "get a key in the browser, for GitHub Copilot",
        "Logs in to a vendor by a code that is entered in a browser, on any machine. The token is kept in\n"
        "$XDG_CONFIG_HOME/skein (~/.config/skein), readable by you alone, for providers without an api_key.",
        EXAMPLES,
    )
    command.add_argument("vendor", nargs="?", metavar="VENDOR", help="github_copilot; left out: list them")
    command.add_argument("--host", help="GitHub Enterprise (default: $GITHUB_COPILOT_HOST, github.com)")
    command.add_argument("--timeout", default=TIMEOUT, help=f"how long to wait for you (default {TIMEOUT})")
    command.set_defaults(act=login)
    command = add_command(
        commands,
        "logout",
        "forget what a login got",
        "Removes the token that `skein login` keeps. It stays valid on GitHub until it is revoked there,\n"
        "under Settings, Applications.",
        LOGOUT_EXAMPLES,
    )
    command.add_argument("vendor", metavar="VENDOR", help="github_copilot")
    command.set_defaults(act=logout)


def login(arguments: argparse.Namespace, env: Mapping[str, str]) -> int:
    if arguments.vendor is None:
        print_columns(standing(env), indent=0)
        return OK
    require_known(arguments.vendor, "login")
    host = read_host(arguments.host or env.get("GITHUB_COPILOT_HOST") or copilot.PUBLIC)
    try:
        patience = parse_duration(arguments.timeout)
    except ValueError as error:
        raise UsageError("--timeout", f"{arguments.timeout} is not a duration", str(error)) from None
    client_id = env.get("GITHUB_COPILOT_CLIENT_ID") or CLIENT_ID
    try:
        token = device_flow(copilot.site_url(host), client_id, patience, Outside(post_form))
    except LoginFailed as error:
        remark(f"not logged in: {error}")
        return FAILED
    return keep(copilot.Login(token, host), env)


def logout(arguments: argparse.Namespace, env: Mapping[str, str]) -> int:
    require_known(arguments.vendor, "logout")
    path = copilot.login_path(env)
    try:
        known = copilot.forget_login(path)
    except OSError as error:
        remark(f"{path} cannot be removed: {error.strerror}")
        return FAILED
    print(f"logged out: {path} is gone" if known else "nobody was logged in")
    return OK


def require_known(vendor: str, command: str) -> None:
    if vendor == "github_copilot":
        return
    hint = did_you_mean(vendor, ["github_copilot"])
    if vendor in VENDORS:
        hint = f"set providers.{vendor}.api_key instead"
    raise UsageError(command, f'there is no login for "{vendor}"', hint or "there is one for github_copilot")


def read_host(text: str) -> str:
    """Without what comes along when it is pasted out of an address bar."""
    host = re.sub(r"^https?://", "", text.strip().lower()).partition("/")[0]
    if not _HOST.fullmatch(host):
        raise UsageError("--host", f'"{text}" is no host', "write it as acme.ghe.com")
    return host


def standing(env: Mapping[str, str]) -> list[tuple[str, str, str]]:
    if env.get("GITHUB_COPILOT_TOKEN"):
        said = "by $GITHUB_COPILOT_TOKEN"
    else:
        path = copilot.login_path(env)
        try:
            kept = copilot.read_login(path)
            said = f"logged in to {kept.host}, in {path}" if kept else "not logged in"
        except copilot.NoToken as error:
            said = str(error)
    return [("VENDOR", "TITLE", "LOGIN"), ("github_copilot", VENDORS["github_copilot"].title, said)]


def keep(got: copilot.Login, env: Mapping[str, str]) -> int:
    """Kept first, tried next: a token that is of no use today may be of use once Copilot is switched on."""
    path = copilot.login_path(env)
    try:
        copilot.keep_login(path, got)
    except OSError as error:
        remark(f"logged in, but the token cannot be kept in {path}: {error.strerror or error}")
        return FAILED
    print(f"logged in to {got.host}: the token is in {path}")
    if env.get("GITHUB_COPILOT_TOKEN"):
        remark("GITHUB_COPILOT_TOKEN is set too, and comes first: unset it to use this login")
    try:
        copilot.Copilot(got.token, env={**env, "GITHUB_COPILOT_HOST": got.host}).fetch()
    except copilot.NoToken as error:
        remark(f"but Copilot cannot be used with it: {error}")
        return FAILED
    print("Copilot is there: with `providers: {github_copilot: {}}` its models are github_copilot/MODEL")
    return OK


# The device flow: https://docs.github.com/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps#device-flow ------


def device_flow(site: str, client_id: str, patience: float, outside: Outside) -> str:
    """GitHub's token, once the user has entered the code. Raises ``LoginFailed``."""
    device = ask_for_code(site, client_id, outside.post)
    remark(f"open {device.verification_uri} and enter the code {device.user_code}")
    began = told = outside.clock()
    deadline = began + min(patience, device.expires_in)
    remark(f"waiting for you, {minutes(deadline - began)} at most (^C to leave)")
    interval, form = device.interval, {"client_id": client_id, "device_code": device.device_code, "grant_type": GRANT}
    while (now := outside.clock()) + interval < deadline:
        if now - told >= TELL_EVERY:
            told = now
            remark(f"still waiting, {minutes(deadline - now)} left")
        outside.sleep(interval)
        try:
            answer = outside.post(f"{site}/login/oauth/access_token", form)
        except OSError:
            # The code is still good: https://www.rfc-editor.org/rfc/rfc8628#section-3.5
            remark("GitHub cannot be reached at the moment; trying again")
            interval += SLOWER_BY
            continue
        token = answer.get("access_token")
        if isinstance(token, str) and token:
            return token
        interval = next_interval(answer, interval)
    if patience < device.expires_in:
        raise LoginFailed("the code was not entered in time: try again, with a longer --timeout")
    raise LoginFailed(_REFUSALS["expired_token"])


def ask_for_code(site: str, client_id: str, post: Post) -> Device:
    try:
        answer = post(f"{site}/login/device/code", {"client_id": client_id, "scope": SCOPE})
    except OSError as error:
        raise LoginFailed(f"{site} cannot be reached: {error}") from None
    if "error" in answer:
        raise LoginFailed(_refusal(answer))
    try:
        device = msgspec.convert(answer, Device, strict=False)
    except msgspec.ValidationError:
        raise LoginFailed(_refusal(_BOGUS)) from None
    if not (device.user_code.isprintable() and device.verification_uri.isprintable()):
        raise LoginFailed(_refusal(_BOGUS))
    return msgspec.structs.replace(device, interval=max(1.0, device.interval))


def next_interval(answer: dict[str, Any], interval: float) -> float:
    """How long to wait before asking again. Raises ``LoginFailed`` when there is nothing to wait for."""
    match answer.get("error"):
        case "authorization_pending":
            return interval
        case "slow_down":
            asked = answer.get("interval")
            return max(interval + SLOWER_BY, float(asked) if isinstance(asked, int | float) else 0.0)
    raise LoginFailed(_refusal(answer))


_REFUSALS = {
    "expired_token": "the code was not entered in time: try again",
    "access_denied": "it was refused in the browser",
    "device_flow_disabled": "GitHub does not let this app log in by a code: look at GITHUB_COPILOT_CLIENT_ID",
    "incorrect_client_credentials": "GitHub does not know this app: look at GITHUB_COPILOT_CLIENT_ID",
    "not_an_answer": "what answered is not GitHub: look at --host",
}


def _refusal(answer: dict[str, Any]) -> str:
    code = answer.get("error")
    said = " ".join(str(answer.get("error_description") or code or "").split())[:200]
    return _REFUSALS.get(str(code)) or (f"GitHub says: {said}" if said else _REFUSALS["not_an_answer"])


def minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"


def post_form(url: str, form: dict[str, str]) -> dict[str, Any]:
    import httpx

    try:
        reply = httpx.post(url, data=form, headers={"accept": "application/json"}, timeout=copilot.TIMEOUT)
    except httpx.HTTPError as error:
        raise OSError(str(error) or type(error).__name__) from None
    return _object(reply)


def _object(reply: httpx.Response) -> dict[str, Any]:
    """Errors come with 200 here. Anything else that is no JSON is the fault of the moment, or of the host."""
    try:
        found = msgspec.json.decode(reply.content)
    except msgspec.DecodeError:
        if reply.status_code >= 500 or reply.status_code == 429:
            raise OSError(f"it answered {reply.status_code}") from None
        found = None
    return found if isinstance(found, dict) else _BOGUS
