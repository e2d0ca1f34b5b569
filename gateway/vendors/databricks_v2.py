"""Databricks' AI Gateway: one address for every model, in OpenAI's dialect and, for Claude, in Anthropic's too."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.vendors.databricks import CODEX, FOREIGN, OPENAIS, PASTED, workspace
from gateway.vendors.databricks import adapt as adapt_endpoint
from gateway.vendors.foreign import DEVELOPER
from gateway.vendors.locate import given_base, urls_below
from gateway.vendors.responses_face import but, responses_face
from gateway.vendors.vendor import Account, Adapted, Routes, Vendor

_PASTED = (
    ("ai-gateway", "mlflow", "v1"),
    ("ai-gateway", "openai", "v1"),
    ("ai-gateway", "anthropic", "v1"),
    ("ai-gateway", "mlflow"),
    ("ai-gateway", "openai"),
    ("ai-gateway", "anthropic"),
    ("ai-gateway",),
    *PASTED,
)


def locate(vendor: Vendor, account: Account) -> Routes:
    """A workspace, or any of the gateway's bases: they lead to the same models."""
    base = given_base(vendor, account)
    base = workspace(base, base.path, _PASTED)
    return Routes(urls=urls_below(vendor, base), deployments=account.deployments, base=base.url())


def adapt(body: dict[str, object], model: str) -> Adapted:
    """As an endpoint wants it, but for the model: here the body names it."""
    adapted = adapt_endpoint(body, model)
    return adapted._replace(body={"model": body.get("model", model), **adapted.body})


CLAUDE = Vendor(
    name="databricks_v2",
    title="Databricks AI Gateway",
    docs="https://docs.databricks.com/aws/en/ai-gateway/",
    base_url=None,
    paths={"chat": "/ai-gateway/anthropic/v1/messages"},
    dialect="anthropic_messages",
    serves=("*claude*",),
    identity="databricks",
    headers={"anthropic-version": "2023-06-01"},
    prices="databricks",
    locate=locate,
)

_CHAT = Vendor(
    name="databricks_v2",
    title="Databricks AI Gateway",
    docs="https://docs.databricks.com/aws/en/ai-gateway/",
    base_url=None,
    # No variables of its own: those of a workspace mean its endpoints.
    paths={
        "chat": "/ai-gateway/mlflow/v1/chat/completions",
        "models": "/api/ai-gateway/v2/endpoints?page_size=1000",
        "embeddings": "/ai-gateway/mlflow/v1/embeddings",
    },
    serves=but(CODEX),
    listing="databricks",
    identity="databricks",
    roles=DEVELOPER,
    drop_from_messages=FOREIGN,
    adapt=adapt,
    flatten=True,
    rename={"max_completion_tokens": "max_tokens"},
    prices="databricks",
    locate=locate,
)
RESPONSES = responses_face(
    _CHAT,
    "https://docs.databricks.com/aws/en/machine-learning/model-serving/query-openai-responses",
    path="/ai-gateway/openai/v1/responses",
    serves=OPENAIS,
)
VENDOR = replace(_CHAT, faces=(CLAUDE, RESPONSES))
