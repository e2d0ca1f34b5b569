"""Langfuse: where its traces go, the prompts it manages, and the scores it is told.

Spans go there as OTLP like anywhere else. The SDK's own client would register itself as the process's tracer provider
and start four threads: of the package only the API client is used, in threads of ours, and imported when first needed.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import msgspec

from gateway.chat import Prompt
from gateway.errors import CallerError, OperatorError, Problem
from gateway.observe.export import TAKEN, Answer, Patience, Say, Shipper
from gateway.observe.otlp import Destination, checked_url, http_refusal

CLOUD = "https://cloud.langfuse.com"
TRACES = "/api/public/otel/v1/traces"

# Without it what is sent shows up ten minutes later: https://langfuse.com/integrations/native/opentelemetry
INGESTION_VERSION = "4"

# Seconds: how long a request waits for its prompt, and how long one that was fetched is taken as it is.
WITHIN = 2.0
FRESH = 60.0
# Prompts kept, and fetched at once: names come from callers.
MOST_KEPT = 256
MOST_FETCHED = 8


class Account(msgspec.Struct, frozen=True, kw_only=True):
    host: str
    public_key: str
    secret_key: str

    def __repr__(self) -> str:
        return f"Account(host={self.host!r}, public_key={self.public_key!r})"


def account(public_key: str | None, secret_key: str | None, host: str | None, env: Mapping[str, str]) -> Account | None:
    """The project to write to, by the settings, else by the environment; None: none.

    Raises ``OperatorError`` for an environment that is half of one.
    """
    if not (public_key and secret_key):
        public_key = env.get("LANGFUSE_PUBLIC_KEY", "").strip()
        secret_key = env.get("LANGFUSE_SECRET_KEY", "").strip()
        if bool(public_key) != bool(secret_key):
            missing = "LANGFUSE_SECRET_KEY" if public_key else "LANGFUSE_PUBLIC_KEY"
            raise OperatorError([Problem(missing, "is missing", "Langfuse needs both of its keys, or neither")])
    if not (public_key and secret_key):
        return None
    for variable in ("LANGFUSE_BASE_URL", "LANGFUSE_HOST"):
        if not host and (host := env.get(variable, "").strip()):
            checked_url(variable, host)
    return Account(host=(host or CLOUD).rstrip("/"), public_key=public_key, secret_key=secret_key)


def destination(account: Account) -> Destination:
    """Where an account's spans go."""
    signature = base64.b64encode(f"{account.public_key}:{account.secret_key}".encode()).decode()
    return Destination(
        signal="traces",
        url=account.host + TRACES,
        headers={"authorization": f"Basic {signature}", "x-langfuse-ingestion-version": INGESTION_VERSION},
    )


class Compiled(msgspec.Struct, frozen=True):
    """A prompt with its variables filled in: chat messages, and which version of it they are."""

    messages: tuple[Mapping[str, Any], ...]
    prompt: Prompt


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """``at``: epoch seconds. With the same ``id`` a score that is sent twice is one."""

    id: str
    trace_id: str
    name: str
    value: float
    at: float
    comment: str | None = None
    metadata: Mapping[str, Any] | None = None


class Langfuse:
    """Prompts and scores of one account. ``close`` is for the scores; prompts need none."""

    name = "langfuse_scores"

    def __init__(
        self,
        account: Account,
        *,
        lost: Callable[[str, str, int], None],
        exported: Callable[[str, int], None],
        timed: Callable[[str, str, float], None],
        say: Say,
        clock: Callable[[], float] = time.monotonic,
        within: float = WITHIN,
        patience: Patience | None = None,
    ) -> None:
        self._client, self._clock, self._within = _Client(account, within), clock, within
        self._scores: Shipper[Score] = Shipper(
            self.name, _Scores(self._client), lost=lost, exported=exported, timed=timed, say=say, patience=patience
        )
        self._kept: dict[_Which, tuple[float, _Template]] = {}
        self._fetching: dict[_Which, asyncio.Future[_Template | CallerError]] = {}

    def warm(self) -> None:
        """Imports the package in a thread, so that the first prompt does not wait for that."""
        threading.Thread(target=self._client.api, name="langfuse-import", daemon=True).start()

    # Scores

    def score(
        self,
        trace_id: str,
        name: str,
        value: float,
        *,
        at: float,
        comment: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Puts a score by to be sent; never waits. ``at``: epoch seconds."""
        id = uuid.uuid4().hex
        score = Score(id=id, trace_id=trace_id, name=name, value=value, at=at, comment=comment, metadata=metadata)
        self._scores.offer([score])

    @property
    def scores(self) -> Shipper[Score]:
        return self._scores

    @property
    def waiting(self) -> int:
        return self._scores.waiting

    def close(self, deadline: float) -> None:
        self._scores.close(deadline)

    # Prompts

    async def prompt(
        self,
        name: str,
        *,
        version: int | None = None,
        label: str | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> Compiled:
        """The prompt's messages, filled in; of a text prompt, one system message. Without version and label: what is
        in production.

        A prompt once fetched is served from memory, and fetched anew in the background when a minute has passed. Raises
        ``CallerError``: ``prompt_not_found`` (404), ``invalid_prompt`` (400: variables are missing),
        ``prompt_unavailable`` (503: Langfuse does not answer, or not in time).
        """
        if not name or name in (".", ".."):
            raise CallerError(400, "invalid_prompt", f'"{name}" is not the name of a prompt')
        which = _Which(name, version, None if version is not None else label)
        template = await self._template(which)
        return Compiled(template.compiled(variables or {}), Prompt(template.name, template.version))

    async def _template(self, which: _Which) -> _Template:
        at, kept = self._kept.get(which, (0.0, None))
        if kept is None or self._clock() - at >= FRESH:
            fetching = self._fetch(which)
            if kept is None:
                return await self._awaited(which, fetching)
        return kept

    async def _awaited(self, which: _Which, fetching: asyncio.Future[_Template | CallerError]) -> _Template:
        try:
            # Shielded: others may wait for the same, and what comes late is kept for whoever asks next.
            found = await asyncio.wait_for(asyncio.shield(fetching), self._within)
        except TimeoutError:
            raise _unavailable(which, f"no answer within {self._within:g} s") from None
        if isinstance(found, CallerError):
            raise found
        return found

    def _fetch(self, which: _Which) -> asyncio.Future[_Template | CallerError]:
        """In a thread of its own; one for all who ask for the same."""
        if (fetching := self._fetching.get(which)) is not None:
            return fetching
        loop = asyncio.get_running_loop()
        fetching = loop.create_future()
        if len(self._fetching) >= MOST_FETCHED:
            fetching.set_result(_unavailable(which, "too many prompts are being fetched"))
            return fetching
        self._fetching[which] = fetching

        def fetch() -> None:
            found = self._client.prompt(which)
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._fetched, which, found)

        threading.Thread(target=fetch, name="langfuse-prompt", daemon=True).start()
        return fetching

    def _fetched(self, which: _Which, found: _Template | CallerError) -> None:
        fetching = self._fetching.pop(which)
        if isinstance(found, _Template):
            self._kept.pop(which, None)
            self._kept[which] = self._clock(), found
            if len(self._kept) > MOST_KEPT:
                del self._kept[next(iter(self._kept))]
        elif found.code == "prompt_not_found":
            self._kept.pop(which, None)
        elif which in self._kept:  # the one there is goes on for another while
            self._kept[which] = self._clock(), self._kept[which][1]
        if not fetching.done():
            fetching.set_result(found)


class _Which(msgspec.Struct, frozen=True):
    name: str
    version: int | None
    label: str | None

    def __str__(self) -> str:
        if self.version is not None:
            return f'"{self.name}" version {self.version}'
        return f'"{self.name}" labelled "{self.label or "production"}"'


def _unavailable(which: _Which, why: str) -> CallerError:
    said = f"the prompt {which} cannot be had from Langfuse: {why}"
    return CallerError(503, "prompt_unavailable", said, type="server_error", origin="gateway")


# As Langfuse allows them: letters, digits and underscores. Other double braces are text.
_VARIABLE = re.compile(r"\{\{\s*([A-Za-z_]\w*)\s*\}\}")


class _Template(msgspec.Struct, frozen=True):
    """``parts``: (role, text), or (None, the name of a placeholder for messages)."""

    name: str
    version: int
    parts: tuple[tuple[str | None, str], ...]

    def compiled(self, variables: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
        missing = sorted(self._wanted() - variables.keys())
        if missing:
            said = f'the prompt "{self.name}" version {self.version} needs {", ".join(missing)}'
            raise CallerError(400, "invalid_prompt", said)
        messages: list[Mapping[str, Any]] = []
        for role, text in self.parts:
            if role is None:
                messages += self._messages(text, variables[text])
            else:
                filled = _VARIABLE.sub(lambda found: _written(variables[found[1]]), text)
                messages.append({"role": role, "content": filled})
        return tuple(messages)

    def _wanted(self) -> set[str]:
        names = {text for role, text in self.parts if role is None}
        return names.union(*(_VARIABLE.findall(text) for role, text in self.parts if role is not None))

    def _messages(self, name: str, given: Any) -> Sequence[Mapping[str, Any]]:
        if isinstance(given, list | tuple) and all(isinstance(each, Mapping) for each in given):
            return given
        said = f'"{name}" of the prompt "{self.name}" is a place for messages: it takes a list of them'
        raise CallerError(400, "invalid_prompt", said)


def _written(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else msgspec.json.encode(value).decode()


class _Client:
    """The API client of the ``langfuse`` package, made when first used; for any thread."""

    def __init__(self, account: Account, timeout: float) -> None:
        self._account, self._timeout = account, timeout
        self._lock = threading.Lock()
        self._api: Any = None

    def api(self) -> Any:
        with self._lock:
            if self._api is None:
                from langfuse.api import LangfuseAPI

                account = self._account
                self._api = LangfuseAPI(
                    base_url=account.host,
                    username=account.public_key,
                    password=account.secret_key,
                    x_langfuse_public_key=account.public_key,
                    x_langfuse_sdk_name="skein",
                    timeout=self._timeout,
                )
            return self._api

    def prompt(self, which: _Which) -> _Template | CallerError:
        import httpx
        from langfuse.api import NotFoundError
        from langfuse.api.core.api_error import ApiError

        try:
            # A name may hold slashes: they are folders, and no path.
            found = self.api().prompts.get(
                quote(which.name, safe=""),
                version=which.version,
                label=which.label,
                request_options={"max_retries": 0},
            )
        except NotFoundError:
            return CallerError(404, "prompt_not_found", f"Langfuse has no prompt {which}")
        except ApiError as error:
            return _unavailable(which, f"HTTP {error.status_code}")
        except httpx.HTTPError as error:
            return _unavailable(which, type(error).__name__)
        except Exception as error:  # an answer that is none
            return _unavailable(which, f"its answer cannot be read ({type(error).__name__})")
        return _Template(found.name, found.version, tuple(_parts(found.prompt)))


def _parts(prompt: Any) -> Sequence[tuple[str | None, str]]:
    if isinstance(prompt, str):
        return [("system", prompt)]
    return [(None, part.name) if hasattr(part, "name") else (part.role, part.content) for part in prompt]


class _Scores:
    """An ``Exporter`` of scores."""

    def __init__(self, client: _Client) -> None:
        self._client = client

    def pack(self, scores: Sequence[Score]) -> Any:
        from langfuse.api.scores import CreateScoreRequest

        return [
            CreateScoreRequest(
                id=each.id,
                trace_id=each.trace_id,
                name=each.name,
                value=each.value,
                comment=each.comment,
                metadata=dict(each.metadata) if each.metadata else None,
                timestamp=datetime.fromtimestamp(each.at, UTC),
            )
            for each in scores
        ]

    def send(self, packed: Any, timeout: float) -> Answer:
        import httpx
        from langfuse.api.core.api_error import ApiError

        options = {"max_retries": 0, "timeout_in_seconds": timeout}
        try:
            answer = self._client.api().scores.create(request=packed, request_options=options)
        except ApiError as error:
            headers = {name.lower(): value for name, value in (error.headers or {}).items()}
            return http_refusal(error.status_code or 0, headers.get("retry-after"))
        except httpx.TransportError as error:
            return Answer(taken=False, again=True, said=type(error).__name__)
        refused = getattr(answer, "rejected", 0)
        return Answer(taken=True, refused=refused, said="Langfuse refused them") if refused else TAKEN

    def close(self) -> None:
        """The client is shared with the prompts."""
