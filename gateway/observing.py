"""Puts together what listens, as configured: which sinks there are, and where what they say goes."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from gateway import __version__
from gateway.api.service import ManagedPrompt
from gateway.config import Config
from gateway.errors import CallerError, OperatorError, Problem
from gateway.events import FeedbackGiven
from gateway.observe import langfuse, otlp, traces
from gateway.observe.export import Shipper
from gateway.observe.langfuse import Langfuse
from gateway.observe.observability import Logging, Observability
from gateway.observe.otel_metrics import OtelMetrics

_PROMPT = re.compile(r"(?P<name>[^@#]+)(?:@(?P<label>[^@#]+)|#(?P<version>[0-9]{1,9}))?")


class Destinations(msgspec.Struct, frozen=True, kw_only=True):
    """Where telemetry goes; None: not there. ``sample_ratio``: of new traces, 0 when nobody takes spans."""

    account: langfuse.Account | None
    langfuse: otlp.Destination | None
    traces: otlp.Destination | None
    metrics: otlp.Destination | None
    sample_ratio: float


def check_destinations(config: Config, env: Mapping[str, str]) -> list[Problem]:
    """Every problem that would keep ``Observing`` from being; opens nothing."""
    problems: list[Problem] = []
    with otlp.gathering(problems):
        destinations(config, env)
    return problems


def destinations(config: Config, env: Mapping[str, str]) -> Destinations:
    """By settings and environment. Raises ``OperatorError`` with every problem."""
    settings, problems = config.observe, list[Problem]()
    account = spans = traces_to = metrics_to = None
    ratio = 0.0
    with otlp.gathering(problems):
        account = langfuse.account(
            settings.langfuse.public_key, settings.langfuse.secret_key, settings.langfuse.host, env
        )
        spans = langfuse.destination(account) if account and not otlp.is_disabled(env) else None
    with otlp.gathering(problems):
        traces_to = _by_otlp("traces", config, env)
    if spans or traces_to or problems:
        with otlp.gathering(problems):
            ratio = otlp.sample_ratio(settings.otlp.sample_ratio, env)
    if settings.otlp.metrics:
        with otlp.gathering(problems):
            metrics_to = _by_otlp("metrics", config, env)
    if problems:
        raise OperatorError(problems)
    return Destinations(account=account, langfuse=spans, traces=traces_to, metrics=metrics_to, sample_ratio=ratio)


def _by_otlp(signal: otlp.Signal, config: Config, env: Mapping[str, str]) -> otlp.Destination | None:
    settings = config.observe.otlp
    return otlp.destination(
        signal, endpoint=settings.endpoint, protocol=settings.protocol, headers=settings.headers, env=env
    )


class Observing:
    """All listeners of one process. ``sample_ratio``: of new traces, 0 when nobody takes spans."""

    def __init__(
        self,
        config: Config,
        env: Mapping[str, str],
        clock: Callable[[], float],
        vendor: Callable[[str], str],
        logging: Logging | None,
    ) -> None:
        """``vendor``: a provider's vendor by name. Raises ``OperatorError`` for a destination that cannot be."""
        to = destinations(config, env)
        self.observability = observability = Observability(__version__, clock, logging)
        self._told: dict[str, Any] = {
            "lost": observability.lost,
            "exported": observability.metrics.exported,
            "timed": observability.metrics.timed,
            "say": observability.say,
        }
        self._vendor = vendor
        self._resource = traces.resource(env, __version__, f"{socket.gethostname()}-{os.getpid()}")
        self.langfuse: Langfuse | None = None
        self.sample_ratio = to.sample_ratio
        self._traces: traces.Traces | None = None
        self._spans(config, to)
        if to.account:
            self.langfuse = Langfuse(to.account, **self._told)
            observability.add_outlet(self.langfuse)
        if to.metrics:
            sink = OtelMetrics(
                to.metrics, known=self._known, vendor=self._vendor, resource=self._resource, **self._told
            )
            observability.add("otel_metrics", sink, sink)
        self.adopt(config)

    def adopt(self, config: Config) -> None:
        """What a new configuration may change while the process runs: how much is told, not to whom."""
        self.observability.live.content = config.observe.content != "off"
        self.observability.sessions.words = config.turns
        if self._traces:
            self._traces.content = config.observe.content

    def _known(self, model: str) -> bool:
        return self.observability.known.model(model)

    def _spans(self, config: Config, to: Destinations) -> None:
        audiences, shippers = [], []
        if to.traces:
            shippers.append(shipper := Shipper("otlp", otlp.SpanExporter(to.traces), **self._told))
            audiences.append(traces.Audience(shipper.offer))
        if to.langfuse:
            shippers.append(shipper := Shipper("langfuse", otlp.SpanExporter(to.langfuse), **self._told))
            # A refusal is nothing that Langfuse could tell anything about.
            audiences.append(traces.Audience(shipper.offer, calls_only=True))
        if not audiences:
            return
        sink = traces.Traces(
            audiences,
            known=self._known,
            vendor=self._vendor,
            resource=self._resource,
            content=config.observe.content,
            ratio=self.sample_ratio,
            lost=self.observability.lost,
        )
        self._traces = sink
        self.observability.metrics.expect_loss("content", "queue_full")
        self.observability.add("traces", sink, *shippers)

    def warm(self) -> None:
        """Imports what the first prompt and the first score need; in a thread."""
        if self.langfuse:
            self.langfuse.warm()

    # For the HTTP surface

    def feedback(self, given: FeedbackGiven, trace_id: str | None) -> None:
        """A verdict on an answer becomes a score of its trace."""
        if self.langfuse and trace_id:
            told = {"source": given.source}
            self.langfuse.score(trace_id, given.name, given.score, at=given.at, comment=given.comment, metadata=told)

    async def fetch(self, name: str, variables: Mapping[str, str]) -> ManagedPrompt:
        """A managed prompt: ``name``, ``name@label`` or ``name#version``. Raises ``CallerError``."""
        found = _PROMPT.fullmatch(name)
        if found is None or self.langfuse is None:
            said = "x-skein-prompt is a name, or name@label, or name#version"
            raise CallerError(400, "invalid_prompt", said, param="x-skein-prompt")
        compiled = await self.langfuse.prompt(
            found["name"],
            version=int(found["version"]) if found["version"] else None,
            label=found["label"],
            variables=variables,
        )
        return ManagedPrompt(compiled.prompt, [dict(message) for message in compiled.messages])
