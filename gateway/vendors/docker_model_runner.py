"""Docker Model Runner: models pulled as images, inside or outside of a container."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.vendors.responses_face import responses_face
from gateway.vendors.vendor import Vendor

_CHAT = Vendor(
    name="docker_model_runner",
    title="Docker Model Runner",
    docs="https://docs.docker.com/ai/model-runner/api-reference/",
    base_url="http://localhost:12434/engines/v1",
    paths={
        "chat": "/chat/completions",
        "completions": "/completions",
        "models": "/models",
        "embeddings": "/embeddings",
    },
    host_env=("MODEL_RUNNER_HOST", "DOCKER_MODEL_RUNNER_HOST"),
    auth="none",
    key_required=False,
    rename={"max_completion_tokens": "max_tokens"},
)
VENDOR = replace(_CHAT, faces=(responses_face(_CHAT, "https://docs.docker.com/ai/model-runner/api-reference/"),))
