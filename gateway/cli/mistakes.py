"""The usual mistakes behind a failed call, recognised by what came back; a table, the first row that fits speaks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

from gateway.config.signing_in import PACKAGES
from gateway.errors import FaultKind, nearest
from gateway.vendors import VENDORS, Identity, Vendor


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """One failed call, as far as a remedy may depend on it. ``said`` is the vendor's or the network's own words."""

    test: str
    provider: str
    vendor: Vendor
    url: str
    model: str = ""
    kind: FaultKind | None = None
    status: int | None = None
    code: str = ""
    said: str = ""
    content_type: str = ""
    location: str = ""
    key: str = ""
    """The key's own text: read for its beginning, never shown."""
    signs_in: bool = True
    with_entra: bool = False
    variable: str = ""
    listed: tuple[str, ...] = ()
    retry_after: float | None = None

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def address(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.hostname}:{parts.port or {'https': 443}.get(parts.scheme, 80)}"

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    @property
    def is_local(self) -> bool:
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def is_azure(self) -> bool:
        return self.vendor.name == "azure_openai"

    @property
    def is_html(self) -> bool:
        return "html" in self.content_type or bool(re.match(r"\s*<(!doctype|html)", self.said, re.IGNORECASE))

    @property
    def key_of(self) -> str:
        """Whose key it is by its beginning, if not this vendor's."""
        for beginning, names in KEYS.items():
            if self.key.startswith(beginning):
                return "" if self.vendor.name in names or self.vendor.base_url is None else TITLES[names[0]]
        return ""

    @property
    def package(self) -> str:
        """How what fetches the cloud's credentials is installed."""
        known = PACKAGES.get(self.vendor.identity)
        return known.remedy if known else ""

    @property
    def runtime(self) -> str:
        """How a local runtime is started, and where it is then."""
        port = urlsplit(self.vendor.base_url or "").port
        usual = f"; by default it is on port {port}" if port else ""
        return f"{RUNTIMES.get(self.vendor.name, 'start the server')}{usual}"

    @property
    def near(self) -> str:
        found = nearest(self.model, self.listed)
        return f"; it lists {', '.join(found)}" if found else ""

    @property
    def wait(self) -> str:
        return f" It asks to wait {self.retry_after:g} s." if self.retry_after else ""

    def speaks_of(self, pattern: str) -> bool:
        return bool(re.search(pattern, f"{self.code} {self.said}", re.IGNORECASE))


# The longer beginning first. None of these vendors gives out keys that begin like another's.
KEYS: Mapping[str, tuple[str, ...]] = {
    "sk-ant-": ("anthropic",),
    "sk-or-": ("openrouter",),
    "sk-proj-": ("openai",),
    "gsk_": ("groq",),
    "xai-": ("xai",),
    "pplx-": ("perplexity",),
    "hf_": ("huggingface",),
    "nvapi-": ("nvidia",),
    "csk-": ("cerebras",),
    "fw_": ("fireworks",),
    "AIza": ("google", "vertex"),
    "ABSK": ("bedrock",),
    "dapi": ("databricks",),
    "gho_": ("github_copilot",),
    "ghu_": ("github_copilot",),
}
TITLES = {"anthropic": "Anthropic", "google": "Google", **{name: vendor.title for name, vendor in VENDORS.items()}}

RUNTIMES: Mapping[str, str] = {
    "ollama": "start it with `ollama serve`",
    "lmstudio": "start its server with `lms server start`",
    "vllm": "start it with `vllm serve MODEL`",
    "ramalama": "start it with `ramalama serve MODEL`",
    "docker_model_runner": "switch it on with `docker desktop enable model-runner --tcp 12434`",
    "litellm": "start it with `litellm --config FILE`",
}


class Mistake(NamedTuple):
    name: str
    applies: Callable[[Evidence], bool]
    remedy: str
    """What to do; ``{e.host}`` and the like are filled in."""


def mistake(evidence: Evidence) -> tuple[str, str]:
    """The name of the usual mistake and what to do about it, or two empty texts."""
    found = next((row for row in MISTAKES if row.applies(evidence)), None)
    return (found.name, found.remedy.format(e=evidence)) if found else ("", "")


def _nobody(identity: Identity) -> Callable[[Evidence], bool]:
    """What was to be fetched could not be: the vendor was not even asked."""
    return lambda e: e.vendor.identity == identity and e.kind is FaultKind.BAD_CREDENTIALS and e.status is None


def _kind(*kinds: FaultKind) -> Callable[[Evidence], bool]:
    return lambda e: e.kind in kinds


def _cut_off(pattern: str) -> Callable[[Evidence], bool]:
    """No answer at all, and the network's own words for it."""
    return lambda e: e.status is None and e.kind is FaultKind.UNREACHABLE and e.speaks_of(pattern)


_REFUSED = r"refused|connection attempts failed|cannot connect"
_NO_NAME = r"name or service|nodename|name resolution|getaddrinfo|no address associated|not known"

MISTAKES: tuple[Mistake, ...] = (
    # Nobody answered.
    Mistake(
        "host_unknown",
        _cut_off(_NO_NAME),
        "{e.host} has no address: look for a typing error in providers.{e.provider}.base_url, else at this machine's "
        "DNS (a VPN that is off, a container without a network)",
    ),
    Mistake(
        "tls_not_spoken",
        _cut_off(r"wrong.version.number|record layer|http request|unknown protocol"),
        "{e.address} does not speak TLS: write http:// in providers.{e.provider}.base_url, or take the port that does",
    ),
    Mistake(
        "tls_untrusted",
        _cut_off(r"certificate"),
        "the certificate of {e.host} is not trusted here: set SSL_CERT_FILE to the authority that signed it (behind a "
        "company's proxy, the company's); if it names another host, mend the host in base_url",
    ),
    Mistake(
        "tls_failed",
        _cut_off(r"\bssl\b|\btls\b"),
        "{e.address} and this machine agree on no way to speak TLS: is it the right port?",
    ),
    Mistake(
        "not_running",
        lambda e: e.is_local and _cut_off(_REFUSED)(e),
        "nothing listens on {e.address}: {e.runtime}. In a container localhost is the container itself: write "
        "host.docker.internal",
    ),
    Mistake(
        "port_closed",
        _cut_off(_REFUSED),
        "nothing listens on {e.address}: look at host and port in base_url, and at what is between (firewall, VPN, "
        "HTTPS_PROXY)",
    ),
    Mistake(
        "proxy_refused",
        _cut_off(r"proxy|\b407\b"),
        "the proxy of HTTPS_PROXY or HTTP_PROXY does not let this through: mend it, or name the host in NO_PROXY",
    ),
    Mistake(
        "no_connection",
        _kind(FaultKind.TIMEOUT_CONNECT),
        "{e.address} lets connections hang: a firewall, a VPN that is off, a proxy to be named in HTTPS_PROXY, or "
        "(with https) a port that speaks plain http",
    ),
    Mistake(
        "too_slow",
        _kind(FaultKind.TIMEOUT_FIRST_TOKEN, FaultKind.TIMEOUT_IDLE, FaultKind.TIMEOUT_TOTAL),
        "the connection is there, the answer is not: a local model may still be loading; try again with --timeout 120s",
    ),
    Mistake(
        "cut_off",
        _cut_off(""),
        "the connection was cut before an answer: a proxy or load balancer between, or a server that crashed",
    ),
    # Somebody answered, but not the API.
    Mistake(
        "redirected",
        lambda e: e.status is not None and 300 <= e.status < 400,
        "redirects are not followed, they would carry the key away: if {e.location} is right, put it into base_url",
    ),
    Mistake(
        "doubled_version",
        lambda e: e.status in (404, 405) and bool(re.search(r"/(v\d+)/\1(/|$)", e.path)),
        "the path has its version twice: take /v1 out of providers.{e.provider}.base_url once",
    ),
    Mistake(
        "web_page",
        lambda e: e.is_html and e.status in (200, 404, 405),
        "that is a web page, not an API: base_url leads to a console, a sign-in or a documentation page; the API's "
        "base usually ends in /v1 ({e.vendor.docs})",
    ),
    Mistake(
        "proxy_in_front",
        lambda e: e.is_html and e.status is not None,
        "a proxy or a protection page answered in the vendor's place: ask whoever runs what is in front of {e.host}",
    ),
    # Azure says 404 for three different slips, 401 for two.
    Mistake(
        "azure_deployment",
        lambda e: e.is_azure and e.status == 404 and e.speaks_of("DeploymentNotFound|deployment .*does not exist"),
        'no deployment answers to the model "{e.model}": a deployment has a name of its own; write '
        "providers.{e.provider}.deployments: {{{e.model}: NAME-OF-THE-DEPLOYMENT}} (one made in the last five minutes "
        "may not be there yet)",
    ),
    Mistake(
        "azure_path",
        lambda e: e.is_azure and e.status == 404,
        "Azure knows no such path: the endpoint should be https://RESOURCE.openai.azure.com with no further path, and "
        "api_version one that exists (2024-10-21; or leave it out, for the v1 route)",
    ),
    Mistake(
        "azure_version",
        lambda e: e.is_azure and e.status == 400 and e.speaks_of("api.version"),
        "set providers.{e.provider}.api_version to one that exists (2024-10-21), or leave it out for the v1 route",
    ),
    Mistake(
        "azure_role",
        lambda e: e.is_azure and e.with_entra and e.status in (401, 403),
        'whoever is signed in may not call this resource: give it the role "Cognitive Services OpenAI User" there '
        "(a new role takes some minutes)",
    ),
    Mistake(
        "azure_key",
        lambda e: e.is_azure and e.status == 401,
        "the key is of another resource, or the endpoint is: both are on the same page of the Azure portal "
        "(Keys and Endpoint)",
    ),
    Mistake(
        "azure_network",
        lambda e: e.is_azure and e.status == 403 and e.speaks_of("virtual network|firewall|public access"),
        "the resource lets only its own networks in: call from there, or add this machine's address to its firewall",
    ),
    # The API answered: who are you?
    Mistake(
        "package_missing",
        lambda e: e.kind is FaultKind.BAD_CREDENTIALS and bool(e.package) and e.speaks_of("is not installed: pip"),
        "{e.package}",
    ),
    Mistake(
        "entra_sign_in",
        _nobody("entra"),
        "nobody could be signed in to Entra ID: run `az login`, or give this machine a managed identity",
    ),
    Mistake(
        "google_sign_in",
        _nobody("google"),
        "nobody could be signed in to Google: run `gcloud auth application-default login`, or set "
        "providers.{e.provider}.credentials_file to the key of a service account",
    ),
    Mistake(
        "aws_sign_in",
        _nobody("aws"),
        "no keys of AWS could be had: run `aws sso login`, set providers.{e.provider}.profile, or give this machine a "
        "role",
    ),
    Mistake(
        "github_sign_in",
        _nobody("github"),
        "GitHub gave no token for Copilot: run `skein login github_copilot` with an account that has a subscription",
    ),
    Mistake(
        "databricks_sign_in",
        _nobody("databricks"),
        "the service principal could not be signed in: look at providers.{e.provider}.client_id and client_secret, and "
        "whether it is one of this workspace",
    ),
    Mistake(
        "aws_clock",
        lambda e: e.vendor.identity == "aws" and e.speaks_of("signature expired|not yet current|clock"),
        "AWS takes signatures of the last five minutes only, and the clock of this machine is wrong: set it",
    ),
    Mistake(
        "aws_region",
        lambda e: e.vendor.identity == "aws" and e.speaks_of("credential should be scoped to a valid region"),
        "the signature is for another region than the host: make providers.{e.provider}.region and base_url agree",
    ),
    Mistake(
        "aws_right",
        lambda e: e.vendor.identity == "aws" and e.kind is FaultKind.BAD_CREDENTIALS and e.status == 403 and not e.key,
        "whoever signs may not do this: allow bedrock:InvokeModel, bedrock:InvokeModelWithResponseStream and "
        "bedrock:ListFoundationModels (sagemaker:InvokeEndpoint), and ask for access to the model in that region",
    ),
    Mistake(
        "google_right",
        lambda e: e.vendor.identity == "google" and e.kind is FaultKind.BAD_CREDENTIALS and e.status == 403,
        'whoever is signed in may not call this project: give it the role "Vertex AI User" there, and see that the '
        "Vertex AI API is enabled (look at providers.{e.provider}.project)",
    ),
    Mistake(
        "no_key",
        lambda e: e.kind is FaultKind.BAD_CREDENTIALS and not e.signs_in,
        "a key is asked for and none is configured: set providers.{e.provider}.api_key",
    ),
    Mistake(
        "key_of_another_vendor",
        lambda e: e.kind is FaultKind.BAD_CREDENTIALS and bool(e.key_of),
        "the key begins like one of {e.key_of}: give {e.provider} the one of {e.vendor.title}",
    ),
    Mistake(
        "key_refused",
        lambda e: e.kind is FaultKind.BAD_CREDENTIALS and e.status == 403,
        "the key is known but may not do this: another project, organisation or region, or a right it lacks "
        "(look at what {e.variable} is allowed)",
    ),
    Mistake(
        "key_unknown",
        _kind(FaultKind.BAD_CREDENTIALS),
        "the key is not known to {e.vendor.title} at {e.host}: revoked, cut off when it was copied, or of another "
        "account or vendor (look at {e.variable})",
    ),
    Mistake(
        "no_credit",
        _kind(FaultKind.OUT_OF_CREDIT),
        "the key is good, the account is empty: top it up, or raise its limit, at {e.vendor.title}; no waiting helps",
    ),
    Mistake(
        "rate_limited",
        _kind(FaultKind.RATE_LIMITED),
        "the key is good, its limit is used up just now.{e.wait} Try again later, or ask for a higher limit",
    ),
    # The API answered: what do you want?
    Mistake(
        "endpoint_missing",
        lambda e: (
            e.status == 404
            and e.kind is FaultKind.MODEL_MISSING
            and not e.speaks_of("model|deployment")
            and not re.search(r"/v\d", e.path)
        ),
        "there is no API under this path: most bases end in /v1, providers.{e.provider}.base_url does not",
    ),
    Mistake(
        "endpoint_missing",
        lambda e: e.status in (404, 405) and (e.test == "listing" or not e.speaks_of("model|deployment")),
        "there is nothing under this path: compare providers.{e.provider}.base_url with {e.vendor.docs}",
    ),
    Mistake(
        "bedrock_profile",
        lambda e: e.vendor.identity == "aws" and e.speaks_of("on-demand throughput"),
        "this model is to be had by an inference profile only: write its name with the region's prefix, such as "
        "us.{e.model} or global.{e.model}",
    ),
    Mistake(
        "model_missing",
        _kind(FaultKind.MODEL_MISSING),
        '{e.provider} has no model "{e.model}", or not for this key{e.near}; see `skein models --listed`',
    ),
    Mistake(
        "vllm_tools",
        lambda e: e.test == "tools" and e.speaks_of("enable-auto-tool-choice|tool-call-parser"),
        "start vLLM with --enable-auto-tool-choice and the --tool-call-parser of the model",
    ),
    Mistake(
        "tools_unsupported",
        lambda e: e.test == "tools" and e.kind is FaultKind.BAD_REQUEST and e.speaks_of("tool|function"),
        "the model takes no tools, and agents need them: choose one that does",
    ),
    Mistake(
        "tool_not_called",
        lambda e: e.test == "tools" and e.kind is None,
        "the model, or the template it is served with, does not call tools reliably: agents will stall with it; choose "
        "another, or serve it with its tool-call template",
    ),
    Mistake(
        "window_too_small",
        _kind(FaultKind.CONTEXT_TOO_LONG),
        "even a few words do not fit: the runtime was started with a tiny context window (num_ctx, --max-model-len, "
        "--ctx-size)",
    ),
    Mistake(
        "content_refused",
        _kind(FaultKind.REFUSED),
        "a content filter stopped a harmless prompt: look at the filter of the deployment or the account",
    ),
    Mistake(
        "stream_cut",
        lambda e: e.test == "stream" and e.kind is FaultKind.GARBLED and e.code == "truncated",
        "streams do not arrive whole: something between buffers or cuts them (a proxy's read timeout, a load balancer)",
    ),
    Mistake(
        "stream_not_offered",
        lambda e: e.test == "stream" and e.kind is FaultKind.GARBLED and "json" in e.content_type,
        "the server does not stream: clients that ask for a stream will fail here",
    ),
    Mistake(
        "not_the_api",
        _kind(FaultKind.GARBLED),
        "the answer is not of this API: does base_url lead to {e.vendor.title}, and is the vendor right?",
    ),
    Mistake(
        "vendor_down",
        _kind(FaultKind.OVERLOADED, FaultKind.SERVER_ERROR),
        "the fault is on the other side: try again, and look at the vendor's status page",
    ),
    Mistake(
        "request_refused",
        _kind(FaultKind.BAD_REQUEST),
        "the vendor does not take this request, its own words say why: is providers.{e.provider}.vendor right?",
    ),
)
