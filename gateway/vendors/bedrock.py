"""AWS Bedrock: many makers' models behind one format of AWS's own, in one region at a time."""

from __future__ import annotations

import re

from msgspec.structs import replace

from gateway.vendors import aws_hosts
from gateway.vendors.base_url import BaseURL, read_base_url, unwrapped
from gateway.vendors.locate import segments, urls_below, without_endpoint
from gateway.vendors.responses_face import responses_face
from gateway.vendors.vendor import Account, Routes, Vendor

RUNTIME = "bedrock-runtime"
CONTROL = "bedrock"
"""Models are listed at another host than they are called at."""

_PASTED = re.compile(r"(?:^|/)(?:model(?:/[^/]+(?:/[a-z-]+)?)?|openai/v1|foundation-models|inference-profiles)$")


def locate(vendor: Vendor, account: Account) -> Routes:
    """1. A host of AWS's, given by its region or pasted. 2. Any other host: all of Bedrock is below it."""
    if not (given := unwrapped(account.base_url or "")):
        base = BaseURL(scheme="https", host=aws_hosts.host(RUNTIME, account.region))
    else:
        base = _below(vendor, read_base_url(given))
    control = base
    if region := aws_hosts.region_of(base.host):
        # One pastes what one has at hand: the host of the control plane takes no calls.
        base = replace(base, host=re.sub(rf"^{CONTROL}\.", f"{RUNTIME}.", base.host))
        control = BaseURL(scheme="https", host=aws_hosts.host(CONTROL, region))
    urls = urls_below(vendor, base)
    if "models" in urls:
        urls["models"] = replace(control, query=_LISTED if not control.query else f"{control.query}&{_LISTED}").url(
            vendor.paths["models"]
        )
    return Routes(urls=urls, deployments=account.deployments, base=base.url())


_LISTED = "byOutputModality=TEXT"


def _below(vendor: Vendor, base: BaseURL) -> BaseURL:
    """Without the endpoints that were pasted along."""
    path = base.path
    while True:
        kept = segments(_PASTED.sub("", "/".join(without_endpoint(vendor, path)[0])))
        if kept == path:
            return replace(base, path=path)
        path = kept


OPENAI = Vendor(
    name="bedrock",
    title="AWS Bedrock, OpenAI's format",
    docs="https://docs.aws.amazon.com/bedrock/latest/userguide/inference-chat-completions.html",
    base_url=None,
    paths={"chat": "/openai/v1/chat/completions"},
    key_env=("AWS_BEARER_TOKEN_BEDROCK",),
    key_required=False,
    auth="sigv4",
    service="bedrock",
    identity="aws",
    # Converse has all models and tells more (reasoning, caches): this is for who sets `dialect: openai_chat`.
    serves=("!*",),
    prices="aws",
    locate=locate,
)

RESPONSES = responses_face(
    OPENAI,
    "https://docs.aws.amazon.com/bedrock/latest/userguide/inference-responses-api.html",
    path="/openai/v1/responses",
    serves=("!*",),
)

VENDOR = Vendor(
    name="bedrock",
    title="AWS Bedrock",
    docs="https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html",
    base_url=None,
    paths={
        "chat": "/model/{model}/converse",
        "chat_stream": "/model/{model}/converse-stream",
        "count_tokens": "/model/{model}/count-tokens",
        "embeddings": "/model/{model}/invoke",
        # Those on demand; the inference profiles, by which newer ones alone are called, are at /inference-profiles.
        "models": "/foundation-models",
    },
    key_env=("AWS_BEARER_TOKEN_BEDROCK",),
    base_env=("AWS_ENDPOINT_URL_BEDROCK_RUNTIME",),
    key_required=False,
    auth="sigv4",
    service="bedrock",
    identity="aws",
    dialect="bedrock_converse",
    embeds="bedrock_embeddings",
    faces=(OPENAI, RESPONSES),
    listing="bedrock",
    owns=("*anthropic.claude-*", "amazon.*", "*.amazon.nova-*", "*cohere.embed-*", "arn:aws*:bedrock:*"),
    headers={"accept": "*/*"},
    prices="aws",
    locate=locate,
    aliases=("aws_bedrock",),
)
