"""Bedrock and SageMaker: hosts by region, URLs as boto3 has them, and streams unwrapped on their way."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.regions import EndpointResolver
from botocore.serialize import create_serializer

from gateway.chat import Facts
from gateway.dialects import DIALECTS
from gateway.errors import FaultKind
from gateway.translate import Asked, Translator, translator
from gateway.vendors import VENDORS, Account, Routes, routes
from gateway.vendors.aws_hosts import region_of
from gateway.vendors.sagemaker import TGI
from tests.test_event_stream import framed

BEDROCK, SAGEMAKER = VENDORS["bedrock"], VENDORS["sagemaker"]
OPENAI = BEDROCK.faces[0]
MODELS = [
    "amazon.nova-micro-v1:0",
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123",
]
REGIONS = [
    "us-east-1",
    "ap-southeast-2",
    "us-gov-west-1",
    "cn-north-1",
    "us-iso-east-1",
    "us-isob-east-1",
    "eusc-de-east-1",
]


def located(vendor: Any, region: str | None = None, base_url: str | None = None) -> Routes:
    found = routes(vendor, Account(region=region, base_url=base_url))
    assert routes(vendor, Account(base_url=found.base)).urls == found.urls
    return found


def serialized(service: str, operation: str, **said: Any) -> str:
    """The path as botocore writes it."""
    model = ServiceModel(Loader().load_service_model(service, "service-2"))
    return str(create_serializer("rest-json").serialize_to_request(said, model.operation_model(operation))["url_path"])


@pytest.mark.parametrize("region", REGIONS)
def test_hosts_are_those_of_botocore(region: str):
    partitions = EndpointResolver(Loader().load_data("endpoints"))
    suffix = partitions.get_partition_dns_suffix(partitions.get_partition_for_region(region))
    runtime = f"https://bedrock-runtime.{region}.{suffix}"
    assert located(BEDROCK, region).base == runtime
    assert located(BEDROCK, region).url("models") == (
        f"https://bedrock.{region}.{suffix}/foundation-models?byOutputModality=TEXT"
    )
    assert located(OPENAI, region).url("chat") == f"{runtime}/openai/v1/chat/completions"
    assert located(SAGEMAKER, region).base == f"https://runtime.sagemaker.{region}.{suffix}"
    assert region_of(f"runtime.sagemaker.{region}.{suffix}") == region


@pytest.mark.parametrize("model", MODELS)
def test_paths_are_those_of_botocore(model: str):
    found = located(BEDROCK, "us-east-1")
    for operation, name in (("chat", "Converse"), ("chat_stream", "ConverseStream")):
        path = serialized("bedrock-runtime", name, modelId=model, messages=[])
        assert found.url(operation, model) == found.base + path
    endpoint = "my-endpoint"
    found = located(SAGEMAKER, "us-east-1")
    for operation, name in (("chat", "InvokeEndpoint"), ("chat_stream", "InvokeEndpointWithResponseStream")):
        path = serialized("sagemaker-runtime", name, EndpointName=endpoint, Body=b"")
        assert found.url(operation, endpoint) == found.base + path


PASTED = [
    ("http://127.0.0.1:9999", "http://127.0.0.1:9999"),
    ("http://127.0.0.1:9999/aws/", "http://127.0.0.1:9999/aws"),
    ("https://bedrock.us-west-2.amazonaws.com", "https://bedrock-runtime.us-west-2.amazonaws.com"),
    ("bedrock-runtime.us-west-2.amazonaws.com/model/x/converse", "https://bedrock-runtime.us-west-2.amazonaws.com"),
    ("https://bedrock-runtime.us-west-2.amazonaws.com/openai/v1", "https://bedrock-runtime.us-west-2.amazonaws.com"),
    (
        "https://vpce-0a.bedrock-runtime.eu-west-1.vpce.amazonaws.com/",
        "https://vpce-0a.bedrock-runtime.eu-west-1.vpce.amazonaws.com",
    ),
]


@pytest.mark.parametrize(("base_url", "base"), PASTED)
def test_what_is_pasted(base_url: str, base: str):
    assert located(BEDROCK, "us-east-1", base_url).base == base


def test_models_are_listed_where_aws_lists_them():
    assert (
        located(BEDROCK, None, PASTED[-1][0]).url("models").startswith("https://bedrock.eu-west-1.amazonaws.com/found")
    )
    assert located(BEDROCK, None, "http://127.0.0.1:9999").url("models").startswith("http://127.0.0.1:9999/foundation-")


@pytest.mark.parametrize("region", [None, "", "us-east-1/x", "us-east-1.evil.example", "US"])
def test_a_region_that_is_none(region: str | None):
    with pytest.raises(ValueError, match="us-east-1"):
        routes(BEDROCK, Account(region=region))


def test_a_pasted_endpoint_serves_every_model():
    found = located(SAGEMAKER, None, "https://runtime.sagemaker.us-east-1.amazonaws.com/endpoints/my-ep/invocations")
    assert found.url("chat", "any") == "https://runtime.sagemaker.us-east-1.amazonaws.com/endpoints/my-ep/invocations"


def test_which_face_serves():
    assert not OPENAI.has("openai.gpt-oss-120b-1:0")
    assert BEDROCK.has("openai.gpt-oss-120b-1:0")
    assert not TGI.has("my-endpoint")
    assert VENDORS["sagemaker_tgi"].has("my-endpoint")
    assert VENDORS["sagemaker_tgi"].dialect == "tgi"


# --- SageMaker's streams ---------------------------------------------------------------------------------------------

REQUEST = {"model": "fast", "messages": [{"role": "user", "content": "hi"}], "stream": True}
FACTS = Facts(model="fast", stream=True, wants_usage=True)
OPENAI_STREAM = b"".join(
    b"data: " + json.dumps({"id": "1", "object": "chat.completion.chunk", "choices": [choice]}).encode() + b"\n\n"
    for choice in (
        {"index": 0, "delta": {"role": "assistant", "content": "h\u00e9"}},
        {"index": 0, "delta": {"content": "llo"}},
        {"index": 0, "delta": {}, "finish_reason": "stop"},
    )
)
TGI_STREAM = (
    b'data:{"token":{"text":"hi","special":false},"generated_text":null}\n\n'
    b'data:{"token":{"text":"!","special":false},"generated_text":"hi!","details":{"finish_reason":"length"}}\n\n'
)


def translated(vendor: Any) -> Translator:
    return translator(DIALECTS["openai_chat"], vendor, "x")


def wrapped(raw: bytes, size: int) -> bytes:
    parts = (raw[at : at + size] for at in range(0, len(raw), size))
    return b"".join(framed(part, event_type="PayloadPart", message_type="event") for part in parts)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_slices_are_put_together(size: int):
    raw = wrapped(OPENAI_STREAM, size)
    stream = translated(SAGEMAKER).stream(FACTS, 0.0, keep_text=True)
    out = b"".join(stream.feed(raw[at : at + 5], 0.0) for at in range(0, len(raw), 5)) + stream.end(0.0)
    assert out == OPENAI_STREAM + b"data: [DONE]\n\n"
    assert (stream.complete, stream.done, stream.fault) == (True, True, None)
    assert "".join(stream.digest.text) == "h\u00e9llo"


def test_the_client_reads_its_own_format_from_tgi():
    translating = translated(TGI)
    body = json.dumps(REQUEST).encode()
    sent = json.loads(translating.request(Asked(body, FACTS, "fast", "my-endpoint")).body)
    assert sent["inputs"] == "User: hi\n\nAssistant:"
    stream = translating.stream(FACTS, 0.0, keep_text=True)
    out = stream.feed(wrapped(TGI_STREAM, 9), 0.0) + stream.end(0.0)
    chunks = [json.loads(line[6:]) for line in out.split(b"\n\n") if line.startswith(b"data: {")]
    assert "".join(each["choices"][0]["delta"].get("content") or "" for each in chunks if each["choices"]) == "hi!"
    assert stream.complete
    assert stream.digest.finish_reason == "length"


ERROR = framed(
    json.dumps({"Message": "timed out", "ErrorCode": "ModelInvocationTimeExceeded"}).encode(),
    exception_type="ModelStreamError",
    message_type="exception",
)


def test_an_error_in_the_wrapping():
    stream = translated(SAGEMAKER).stream(FACTS, 0.0, keep_text=False)
    assert stream.feed(wrapped(OPENAI_STREAM[:150], 50) + ERROR, 0.0)
    assert stream.fault is not None
    assert (stream.fault.kind, stream.fault.message) == (FaultKind.SERVER_ERROR, "timed out")
    assert stream.end(0.0) == b""
    assert not stream.done


def test_an_error_after_the_end_changes_nothing():
    stream = translated(SAGEMAKER).stream(FACTS, 0.0, keep_text=False)
    stream.feed(wrapped(OPENAI_STREAM, 50) + ERROR, 0.0)
    assert stream.fault is None
    assert stream.end(0.0) == b"data: [DONE]\n\n"


def test_a_wrapping_that_is_damaged():
    stream = translated(SAGEMAKER).stream(FACTS, 0.0, keep_text=False)
    stream.feed(b"data: this is no message of AWS's\n\n", 0.0)
    assert stream.fault is not None
    assert stream.fault.kind is FaultKind.GARBLED


def test_what_it_cost_is_told_by_the_stream_inside():
    priced = OPENAI_STREAM + b'data: {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}\n\n'
    stream = translated(SAGEMAKER).stream(FACTS, 0.0, keep_text=False)
    stream.price = lambda usage: 0.5
    assert b'"cost":0.5' in stream.feed(wrapped(priced, 50), 0.0)


@pytest.mark.parametrize(
    ("deployments", "model"), [({}, None), ({"fast": "my-endpoint"}, "fast")], ids=["the endpoint itself", "a model"]
)
def test_the_model_in_the_body(deployments: dict[str, str], model: str | None):
    found = routes(SAGEMAKER, Account(region="us-east-1", deployments=deployments))
    asked = Asked(json.dumps(REQUEST).encode(), FACTS, "fast", found.deployed("fast"))
    sent = msgspec.json.decode(translated(SAGEMAKER).request(asked).body)
    assert sent.get("model") == model
    assert sent["messages"] == REQUEST["messages"]
