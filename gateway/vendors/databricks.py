"""Databricks model serving: an endpoint per model, which its path names and its body does not."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from msgspec.structs import replace

from gateway.vendors.base_url import BaseURL
from gateway.vendors.foreign import ANSWERED, DEVELOPER, THOUGHTS
from gateway.vendors.locate import ENDPOINTS, Path, given_base, tail, urls_below
from gateway.vendors.responses_face import but, responses_face
from gateway.vendors.vendor import Account, Adapted, Routes, Vendor, segment

# Its own thoughts are parts of the type "reasoning".
FOREIGN = ANSWERED | THOUGHTS - {"reasoning"}
PASTED = (("serving-endpoints",), ("api", "2.0", "serving-endpoints"), *ENDPOINTS)


def locate(vendor: Vendor, account: Account) -> Routes:
    """1. The AI Gateway is a vendor of its own. 2. The URL of one endpoint: it serves every model. 3. A workspace."""
    base = given_base(vendor, account)
    path = base.path
    if "ai-gateway" in path:
        raise ValueError("this is Databricks' AI Gateway: set vendor to databricks_v2 for it")
    deployment = None
    if path[-1:] == ("invocations",) and path[-3:-2] == ("serving-endpoints",):
        path, deployment = path[:-3], unquote(path[-2])
    base = workspace(base, path, PASTED)
    return Routes(
        urls=urls_below(vendor, base),
        deployments=account.deployments,
        deployment=deployment,
        base=base.url(f"/serving-endpoints/{segment(deployment)}/invocations" if deployment else ""),
    )


def workspace(base: BaseURL, path: Path, pasted: tuple[Path, ...]) -> BaseURL:
    """Without what is pasted along with it: parts of the API, and the ``?o=`` that browsers show."""
    while suffix := tail(path, pasted):
        path = path[: -len(suffix)]
    query = "&".join(pair for pair in base.query.split("&") if pair and not pair.startswith("o="))
    return replace(base, path=path, query=query)


def adapt(body: dict[str, Any], model: str) -> Adapted:
    """As the vendor's own client does: Claude's endpoints refuse empty texts, all but GPT's refuse ``strict``."""
    names = f"{model} {body.get('model')}".lower()
    adapted = {name: value for name, value in body.items() if name != "model"}
    dropped: list[str] = []
    if isinstance(messages := body.get("messages"), list):
        adapted["messages"] = [_spoken(message) for message in messages]
    if "gpt" not in names and isinstance(tools := body.get("tools"), list):
        adapted["tools"] = [_lenient(tool, f"tools[{place}]", dropped) for place, tool in enumerate(tools)]
    return Adapted(adapted, dropped=tuple(dropped))


def _spoken(message: Any) -> Any:
    """A message that only calls tools has a blank for its text."""
    if isinstance(message, dict) and message.get("tool_calls") and message.get("content") in ("", None, []):
        return {**message, "content": " "}
    return message


def _lenient(tool: Any, where: str, dropped: list[str]) -> Any:
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict) or "strict" not in function:
        return tool
    if function["strict"]:
        dropped.append(f"{where}.function.strict")
    return {**tool, "function": {name: value for name, value in function.items() if name != "strict"}}


OPENAIS = ("*gpt-[0-9]*",)
CODEX = ("*-codex*",)
"""Of OpenAI's, those that chat has not: https://docs.databricks.com/aws/en/generative-ai/foundation-models/openai-responses"""

_CHAT = Vendor(
    name="databricks",
    title="Databricks",
    docs="https://docs.databricks.com/aws/en/machine-learning/foundation-model-apis/api-reference",
    base_url=None,
    paths={
        "chat": "/serving-endpoints/{model}/invocations",
        "models": "/api/2.0/serving-endpoints",
        "embeddings": "/serving-endpoints/{model}/invocations",
    },
    serves=but(CODEX),
    listing="databricks",
    key_env=("DATABRICKS_TOKEN",),
    host_env=("DATABRICKS_HOST",),
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
    path="/serving-endpoints/responses",
    serves=OPENAIS,
)
VENDOR = replace(_CHAT, faces=(RESPONSES,))
