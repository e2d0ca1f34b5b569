"""GitHub Copilot: OpenAI chat without a version in its paths, for the models of a Copilot subscription."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from gateway.vendors.responses_face import but, responses_face
from gateway.vendors.vendor import Adapted, Vendor

# There is no public contract. Without the editor's name it answers 400, and integrations it knows by their id: this is
# what the common clients say.
EDITOR: Mapping[str, str] = {
    "editor-version": "vscode/1.104.1",
    "editor-plugin-version": "copilot-chat/0.26.7",
    "user-agent": "GitHubCopilotChat/0.26.7",
}
"""GitHub wants to hear it at the exchange of tokens too."""
_IMAGES = frozenset(("image_url", "input_image", "image"))
"""Of OpenAI's chat, of Responses, and of Anthropic's messages, which is also spoken here."""


def adapt(body: dict[str, Any], model: str) -> Adapted:
    """The body stays as it is: who began the turn, and whether there is something to see, is said in headers."""
    messages = body.get("messages", body.get("input"))
    messages = [each for each in messages if isinstance(each, dict)] if isinstance(messages, list) else []
    headers = [("x-initiator", "agent" if _goes_on(messages) else "user")]
    if any(part.get("type") in _IMAGES for message in messages for part in _parts(message)):
        headers.append(("copilot-vision-request", "true"))
    return Adapted(body, tuple(headers))


def _goes_on(messages: list[dict[str, Any]]) -> bool:
    """Does the agent go on by itself? 1. After tool results. 2. After its own words. 3. Not after the user's.

    What a user begins is billed as a premium request, what an agent does on the way is not. So the end of the
    conversation decides, as in VS Code and goose: that there are older answers in it says nothing of who spoke last.
    """
    told = [each for each in messages if each.get("role") not in ("system", "developer")]
    before = list(told)
    # Agents put the images of a tool's result into a message of its own behind it.
    while before and before[-1].get("role") == "user" and _only_shows(before[-1]):
        before.pop()
    if before and _answers_a_call(before[-1]):
        return True
    return bool(told) and told[-1].get("role") != "user"


def _answers_a_call(message: dict[str, Any]) -> bool:
    if str(message.get("type")).endswith("_call_output"):  # Responses has items
        return True
    return message.get("role") in ("tool", "function") or any(
        part.get("type") == "tool_result" for part in _parts(message)
    )


def _only_shows(message: dict[str, Any]) -> bool:
    parts = _parts(message)
    return bool(parts) and all(part.get("type") in _IMAGES for part in parts)


def _parts(message: dict[str, Any]) -> list[dict[str, Any]]:
    """The parts of a message, those inside of tool results too."""
    content = message.get("content", message.get("output"))
    if not isinstance(content, list):
        return []
    parts = [part for part in content if isinstance(part, dict)]
    return [*parts, *(inner for part in parts if part.get("type") == "tool_result" for inner in _parts(part))]


# "model … is not accessible via the /chat/completions endpoint": of codex, and of all from GPT-5.4 on, as the listing
# tells under supported_endpoints: https://github.com/BerriAI/litellm/issues/23332
ONLY_RESPONSES = ("*-codex*", "gpt-5.[4-9]*", "gpt-[6-9]*")

_CHAT = Vendor(
    name="github_copilot",
    title="GitHub Copilot",
    docs="https://docs.github.com/copilot",
    base_url="https://api.githubcopilot.com",
    paths={"chat": "/chat/completions", "models": "/models", "embeddings": "/embeddings"},
    serves=but(ONLY_RESPONSES),
    key_env=("GITHUB_COPILOT_TOKEN",),
    key_required=False,  # `skein login github_copilot` keeps one
    identity="github",
    strip=("/v1",),
    headers={
        **EDITOR,
        "copilot-integration-id": "vscode-chat",
        "openai-intent": "conversation-panel",
        "x-github-api-version": "2025-04-01",
    },
    adapt=adapt,
)
_MESSAGES = replace(
    _CHAT,
    title="GitHub Copilot (Claude)",
    paths={"chat": "/v1/messages", "models": "/models"},
    dialect="anthropic_messages",
    serves=("claude-*",),
    headers={**_CHAT.headers, "anthropic-version": "2023-06-01"},
)
# Claude is to be had both ways; the first is taken unless the client, or the provider's settings, speak the second.
_RESPONSES = responses_face(_CHAT, _CHAT.docs, serves=("gpt-5*", "gpt-[6-9]*", "o[1-9]*", "*-codex*"), adapt=adapt)
VENDOR = replace(_CHAT, faces=(_MESSAGES, _RESPONSES))
