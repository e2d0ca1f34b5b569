"""One line per event worth a line: JSON for machines, plain text for people. Neither secrets nor content.

A line that cannot be written (the disk is full, nobody reads) is dropped: the gateway serves on.
"""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TextIO

import msgspec

from gateway import events

LEVELS = ("debug", "info", "warning", "error")

Line = tuple[str, str, dict[str, Any]]


def describe(event: events.Event) -> Line | None:
    """Level, name and fields of an event's line; None for events without one."""
    match event:
        case events.ExchangeFinished():
            level = "info" if event.outcome in ("ok", "cancelled") or event.status < 500 else "error"
            return "error" if event.outcome == "broken" else level, "request.finished", _finished(event)
        case events.AttemptFailed():
            return "warning", "attempt.failed", _attempt(event)
        case events.BreakerMoved(target=target, before=before, after=after):
            return "warning", "breaker.moved", {"target": str(target), "from": before, "to": after}
        case events.HandlerCrashed(exchange_id=name, traceback=traceback):
            return "error", "handler.crashed", {"request_id": name, "traceback": traceback}
        case events.GatewayStarted(url=url, source=source, models=models):
            return "info", "gateway.started", {"url": url, "config": source, "models": models}
        case events.ConfigReloaded(source=source, needs_restart=needs_restart):
            return "info", "config.reloaded", {"config": source, "needs_restart": list(needs_restart)}
        case events.ConfigRefused(source=source, problems=problems):
            said = [str(problem) for problem in problems]
            return "error", "config.refused", {"config": source, "problems": said, "note": "the old one goes on"}
        case events.DrainStarted(running=running):
            return "info", "drain.started", {"running": running}
        case events.ListingFailed(provider=provider, fault=fault):
            return "debug", "listing.failed", {"provider": provider, "fault": fault.kind.value, "url": fault.url}
    return None


def _finished(event: events.ExchangeFinished) -> dict[str, Any]:
    usage = event.usage
    return {
        "request_id": event.exchange_id,
        "caller": event.caller,
        "session": event.session,
        "model": event.model,
        "target": str(event.target) if event.target else None,
        "stream": event.stream,
        "outcome": event.outcome,
        "status": event.status,
        "attempts": event.attempts,
        "seconds": round(event.seconds, 4),
        "finish_reason": event.finish_reason,
        "input_tokens": usage.input_tokens if usage else None,
        "output_tokens": usage.output_tokens if usage else None,
        "skipped_events": event.skipped or None,
        "fault": event.fault.kind.value if event.fault else None,
        "code": event.code,
    }


def _attempt(event: events.AttemptFailed) -> dict[str, Any]:
    fault = event.fault
    return {
        "request_id": event.exchange_id,
        "number": event.number,
        "target": str(event.target),
        "fault": fault.kind.value,
        "code": fault.code,
        "upstream_status": fault.status,
        "retry_after": fault.retry_after,
        "url": fault.url,
        "seconds": round(event.seconds, 4),
        "after_output": event.after_output or None,
    }


def logger(level: str, format: str, out: TextIO | None = None, worker: int | None = None) -> events.Observer:
    """An observer that writes lines of at least ``level`` to ``out`` (standard error, unless given).

    ``worker`` is the number of the process, where there are several.
    """
    least = LEVELS.index(level)

    def observe(event: events.Event) -> None:
        if (line := describe(event)) and LEVELS.index(line[0]) >= least:
            level, name, fields = line
            write((level, name, {"worker": worker, **fields}), event.at, format, out)

    return observe


def remark(level: str, name: str, message: str, format: str) -> None:
    """A line for what is told outside of the gateway's own events: by the command that runs it."""
    write((level, name, {"message": message}), time.time(), format)


def write(line: Line, at: float, format: str, out: TextIO | None = None) -> None:
    """One line, to standard error unless ``out`` is given; dropped when it cannot be written."""
    text, stream = (_console if format == "console" else _json)(line, at), out or sys.stderr
    if stream is not None:  # as it is when the process was started without one
        with suppress(OSError, ValueError):
            stream.write(text)
            stream.flush()


def _json(line: Line, at: float) -> str:
    level, name, fields = line
    said = {"time": _time(at), "level": level, "event": name, **fields}
    return msgspec.json.encode({key: value for key, value in said.items() if value is not None}).decode() + "\n"


def _console(line: Line, at: float) -> str:
    level, name, fields = line
    told = "".join(_told(key, str(value)) for key, value in fields.items() if value is not None)
    return f"{_time(at)[11:23]} {level:7} {name:18}{told}\n"


def _told(key: str, value: str) -> str:
    """On the line; a traceback below it, each of its lines marked, so that none can look like a line of ours."""
    if key != "traceback":
        return f" {key}={_safe(value)}"
    return "".join(f"\n    | {_safe(line)}" for line in value.splitlines())


def _safe(text: str) -> str:
    """Without what a terminal would act on, or would not show."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
