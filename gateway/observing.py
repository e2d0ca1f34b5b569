"""Puts together what listens, as configured: which sinks there are, and where what they say goes."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Mapping
from typing import Any

from gateway import __version__
from gateway.api.service import ManagedPrompt
from gateway.config import Config
from gateway.errors import CallerError
from gateway.events import FeedbackGiven
from gateway.observe import langfuse, otlp, traces
from gateway.observe.export import Shipper
from gateway.observe.langfuse import Langfuse
from gateway.observe.observability import Logging, Observability
from gateway.observe.otel_metrics import OtelMetrics

_PROMPT = re.compile(r"(?P<name>[^@#]+)(?:@(?P<label>[^@#]+)|#(?P<version>[0-9]{1,9}))?")


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
        self.observability = observability = Observability(__version__, clock, logging)
        self._told: dict[str, Any] = {
            "lost": observability.lost,
            "exported": observability.metrics.exported,
            "timed": observability.metrics.timed,
            "say": observability.say,
        }
        self._vendor, self._clock = vendor, clock
        self._resource = traces.resource(env, __version__, f"{socket.gethostname()}-{os.getpid()}")
        self.langfuse: Langfuse | None = None
        self.sample_ratio = 0.0
        self._traces: traces.Traces | None = None
        settings = config.observe
        account = langfuse.account(
            settings.langfuse.public_key, settings.langfuse.secret_key, settings.langfuse.host, env
        )
        self._spans(config, env, account)
        if account:
            self.langfuse = Langfuse(account, **self._told)
            observability.add_outlet(self.langfuse)
        if settings.otlp.metrics:
            self._otel_metrics(config, env)
        self.adopt(config)

    def adopt(self, config: Config) -> None:
        """What a new configuration may change while the process runs: how much is told, not to whom."""
        self.observability.live.content = config.observe.content != "off"
        if self._traces:
            self._traces.content = config.observe.content

    def _known(self, model: str) -> bool:
        return self.observability.known.model(model)

    def _spans(self, config: Config, env: Mapping[str, str], account: langfuse.Account | None) -> None:
        settings = config.observe
        to = otlp.destination(
            "traces",
            endpoint=settings.otlp.endpoint,
            protocol=settings.otlp.protocol,
            headers=settings.otlp.headers,
            env=env,
        )
        audiences, shippers = [], []
        if to:
            shippers.append(shipper := Shipper("otlp", otlp.SpanExporter(to), **self._told))
            audiences.append(traces.Audience(shipper.offer))
        if account and not otlp.is_disabled(env):
            shippers.append(
                shipper := Shipper("langfuse", otlp.SpanExporter(langfuse.destination(account)), **self._told)
            )
            # A refusal is nothing that Langfuse could tell anything about.
            audiences.append(traces.Audience(shipper.offer, calls_only=True))
        if not audiences:
            return
        self.sample_ratio = otlp.sample_ratio(settings.otlp.sample_ratio, env)
        sink = traces.Traces(
            audiences,
            known=self._known,
            vendor=self._vendor,
            resource=self._resource,
            content=settings.content,
            ratio=self.sample_ratio,
            lost=self.observability.lost,
        )
        self._traces = sink
        self.observability.metrics.expect_loss("content", "queue_full")
        self.observability.add("traces", sink, *shippers)

    def _otel_metrics(self, config: Config, env: Mapping[str, str]) -> None:
        settings = config.observe.otlp
        to = otlp.destination(
            "metrics", endpoint=settings.endpoint, protocol=settings.protocol, headers=settings.headers, env=env
        )
        if to:
            sink = OtelMetrics(to, known=self._known, vendor=self._vendor, resource=self._resource, **self._told)
            self.observability.add("otel_metrics", sink, sink)

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
