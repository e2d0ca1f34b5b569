"""Together: open models by their full names (meta-llama/...)."""

from __future__ import annotations

from gateway.vendors.foreign import DEVELOPER
from gateway.vendors.vendor import Vendor

# Its SDK differs on purpose in two ways: it sends chat to a host of its own (api-inference.together.ai), and lists the
# models of one project (/v2/projects/{id}/models), which needs an id we do not have. The documented base answers both.
VENDOR = Vendor(
    name="together",
    title="Together AI",
    docs="https://docs.together.ai/docs/inference/openai-compatibility",
    base_url="https://api.together.ai/v1",
    paths={
        "chat": "/chat/completions",
        "completions": "/completions",
        "models": "/models",
        "embeddings": "/embeddings",
    },
    key_env=("TOGETHER_API_KEY",),
    host_env=("TOGETHER_BASE_URL",),
    rename={"max_completion_tokens": "max_tokens"},
    stream_usage=False,  # the last chunk has it anyhow
    roles=DEVELOPER,
    prices="together",
)
