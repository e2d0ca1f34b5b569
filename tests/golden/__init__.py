"""The arrows between dialects, written out: what a client's request becomes for each vendor, and its answer for the
client. ``<case>.openai_chat.json`` is what a client sends. ``python -m tests.golden`` writes the files beside it, and
people read them: where they change, what vendors get has changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gateway.abilities import abilities
from gateway.chat import ChatResponse
from gateway.dialects import EGRESS, INGRESS
from tests.corpus import case

ROOT = Path(__file__).parent
OPENAI = INGRESS["openai_chat"]
MODELS = {
    "anthropic_messages": "claude-sonnet-4-5",
    "bedrock_converse": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "cohere_chat": "command-a-03-2025",
    "gemini": "gemini-3-pro-preview",
    "ollama_chat": "qwen3",
    "tgi": "endpoint",
}
ANSWERS = ("plain", "tools", "filtered", "cached")


def requests() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each file's name, and what is in it."""
    for file in sorted(ROOT.glob("*.openai_chat.json")):
        name = file.name.partition(".")[0]
        for dialect, model in MODELS.items():
            body = {"model": model, **json.loads(file.read_bytes())}
            made = EGRESS[dialect].encode_request(OPENAI.decode_request(json.dumps(body).encode()), abilities(model))
            beside = {"dropped": made.dropped, "headers": made.headers, "tool_names": made.tool_names}
            said = {"body": made.body, **{key: value for key, value in beside.items() if value}}
            yield f"{name}.openai_chat-{dialect}.json", said


def answers() -> Iterator[tuple[str, dict[str, Any]]]:
    """Of the corpus: the same answer as the client reads it."""
    for dialect in MODELS:
        for name in ANSWERS:
            try:
                body = case(dialect, f"{name}.response.json")
            except FileNotFoundError:
                continue
            read = EGRESS[dialect].decode_answer(body, 0.0)
            assert isinstance(read, ChatResponse)
            said = OPENAI.encode_answer(read, id="exchange", model="asked-for", created=0)
            yield f"{name}.{dialect}-openai_chat.json", json.loads(said)


def written(said: Any) -> str:
    return json.dumps(said, indent=2, ensure_ascii=False) + "\n"
