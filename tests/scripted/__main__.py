"""The scripted vendor as a program, for agents and gateways run by hand: one line per request."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import pathlib

import msgspec

from .agent import agent_story
from .faults import named
from .received import Received
from .steps import Step, StepValue
from .vendor import ScriptedVendor


def main() -> None:
    parser = _parser()
    arguments = parser.parse_args()
    try:
        steps = read_story(arguments.script.read_bytes()) if arguments.script else []
        steps += [named(name) for name in arguments.fault.split(",")] if arguments.fault else []
    except (OSError, msgspec.DecodeError, KeyError) as error:
        parser.error(str(error))
    models = tuple(arguments.models.split(","))
    vendor = ScriptedVendor(port=arguments.port, host=arguments.host, models=models, otherwise=agent_story, keep=100)
    vendor.on_finished = lambda call: print(line(call), flush=True)
    vendor.script(*steps)
    if arguments.repeat and steps:
        story = itertools.cycle(steps)
        vendor.decide = lambda call: next(story)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(vendor))


def read_story(text: bytes) -> list[Step]:
    """A JSON list of names and of steps: ``["429", {"step": "reset", "at": "after_output"}, "agent"]``."""
    story = msgspec.json.decode(text, type=list[str | StepValue])
    return [named(step) if isinstance(step, str) else step for step in story]


def line(call: Received) -> str:
    asked = f"model={call.model or '-'} {'stream ' if call.stream else ''}tools={len(call.fields.get('tools') or ())}"
    took = f"{1000 * (call.duration or 0):.0f} ms"
    end = f"{call.outcome} ({call.phase})" if call.outcome != "answered" else "answered"
    return f"#{call.number} {call.method} {call.target} {asked} -> {call.step} {call.status or '-'} {end} {took}"


async def _serve(vendor: ScriptedVendor) -> None:
    async with vendor:
        print(f"scripted vendor at {vendor.base_url}", flush=True)
        await asyncio.Event().wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.scripted", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9100)
    parser.add_argument("--models", default="gpt-4.1,gpt-4.1-mini", help="what the listing says, with commas")
    parser.add_argument("--script", type=pathlib.Path, help="a JSON list of steps and names of steps")
    parser.add_argument("--fault", help="names of steps with commas, such as 429,503,reset,die; one per call")
    parser.add_argument("--repeat", action="store_true", help="start the story over instead of going on without faults")
    return parser


if __name__ == "__main__":
    main()
