"""AWS SageMaker: endpoints of one's own. The model is the endpoint; what runs behind it speaks OpenAI's format."""

from __future__ import annotations

import re
from typing import Any

from msgspec.structs import replace

from gateway.dialects.payload_parts import PayloadParts
from gateway.vendors import aws_hosts
from gateway.vendors.base_url import BaseURL, read_base_url, unwrapped
from gateway.vendors.locate import segments, urls_below, without_endpoint
from gateway.vendors.vendor import Account, Adapted, Routes, Vendor, segment

RUNTIME = "runtime.sagemaker"
_PASTED = re.compile(r"(?:^|/)endpoints(?:/([^/]+)(?:/invocations(?:-response-stream)?)?)?$")


def locate(vendor: Vendor, account: Account) -> Routes:
    """A pasted endpoint serves every model that ``deployments`` does not."""
    endpoint = None
    if not (given := unwrapped(account.base_url or "")):
        base = BaseURL(scheme="https", host=aws_hosts.host(RUNTIME, account.region))
    else:
        base = read_base_url(given)
        path = without_endpoint(vendor, base.path)[0]
        while pasted := _PASTED.search("/".join(path)):
            endpoint = endpoint or pasted[1]
            path = without_endpoint(vendor, segments("/".join(path)[: pasted.start()]))[0]
        base = replace(base, path=path)
    return Routes(
        urls=urls_below(vendor, base),
        deployments=account.deployments,
        deployment=endpoint,
        base=base.url(f"/endpoints/{segment(endpoint)}" if endpoint else ""),
    )


def adapt(body: dict[str, Any], model: str) -> Adapted:
    """The endpoint's name means nothing to the container behind it, and vLLM's answers 404 to a model it does not know.

    A model that ``deployments`` leads to an endpoint is called in the body what it is called here; one that is the
    endpoint itself is left out: containers take what they have then.
    """
    if body.get("model") == model:
        return Adapted({name: value for name, value in body.items() if name != "model"})
    return Adapted({**body, "model": model})


TGI = Vendor(
    name="sagemaker_tgi",
    title="AWS SageMaker, text-generation-inference",
    docs="https://huggingface.co/docs/text-generation-inference/reference/api_reference",
    base_url=None,
    paths={"chat": "/endpoints/{model}/invocations", "chat_stream": "/endpoints/{model}/invocations-response-stream"},
    key_required=False,
    auth="sigv4",
    service="sagemaker",
    identity="aws",
    dialect="tgi",
    # For who sets `dialect: tgi`, or the vendor of that name.
    serves=("!*",),
    headers={"accept": "*/*"},
    locate=locate,
    unframe=PayloadParts,
)

VENDOR = replace(
    TGI,
    name="sagemaker",
    title="AWS SageMaker",
    docs="https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html",
    base_env=("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME",),
    dialect="openai_chat",
    serves=("*",),
    faces=(TGI,),
    adapt=adapt,
)
