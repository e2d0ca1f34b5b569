"""The arrows between dialects, written out: what a client's request becomes for each vendor, and its answer for the
client. ``<case>.<from>.json`` is what a client of the dialect sends. ``python -m tests.golden`` writes the files beside
it, ``<case>.<from>-<to>.json``, and people read them: where they change, what vendors get has changed. Where client and
vendor speak the same there is no arrow: that is passed through.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from gateway.abilities import abilities
from gateway.chat import ChatResponse
from gateway.dialects import EGRESS, INGRESS
from tests.corpus import case

ROOT = Path(__file__).parent
MODELS = {
    "anthropic_messages": "claude-sonnet-4-5",
    "bedrock_converse": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "cohere_chat": "command-a-03-2025",
    "gemini": "gemini-3-pro-preview",
    "ollama_chat": "qwen3",
    "openai_chat": "gpt-5-mini",
    "openai_responses": "gpt-5-mini",
    "tgi": "endpoint",
}
"""A model for each dialect that vendors speak."""
ANSWERS = ("plain", "tools", "filtered", "cached")


def requests() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each file's name, and what is in it."""
    for client, ingress in INGRESS.items():
        for file in sorted(ROOT.glob(f"*.{client}.json")):
            read = ingress.decode_request(file.read_bytes())
            for vendor, egress in EGRESS.items():
                if vendor == client:
                    continue
                model = MODELS[vendor]
                made = egress.encode_request(msgspec.structs.replace(read, model=model), abilities(model))
                beside = {"dropped": made.dropped, "headers": made.headers, "tool_names": made.tool_names}
                said = {"body": made.body, **{key: value for key, value in beside.items() if value}}
                yield f"{file.name.partition('.')[0]}.{client}-{vendor}.json", said


def answers() -> Iterator[tuple[str, dict[str, Any]]]:
    """Of the corpus: the same answer as each kind of client reads it."""
    for vendor, egress in EGRESS.items():
        for name in ANSWERS:
            try:
                body = case(vendor, f"{name}.response.json")
            except FileNotFoundError:
                continue
            read = egress.decode_answer(body, 0.0)
            assert isinstance(read, ChatResponse)
            for client, ingress in INGRESS.items():
                if client != vendor:
                    said = ingress.encode_answer(read, id="exchange", model="asked-for", created=0, asked=b"{}")
                    yield f"{name}.{vendor}-{client}.json", json.loads(said)


def written(said: Any) -> str:
    return json.dumps(said, indent=2, ensure_ascii=False) + "\n"
