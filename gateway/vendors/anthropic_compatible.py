"""Anything that speaks Anthropic's Messages. Its base URL is without ``/v1``, as Anthropic's SDK has it."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.vendors.anthropic import VERSION
from gateway.vendors.locate import given_base, urls_below, with_api_version, without_endpoint
from gateway.vendors.vendor import Account, Routes, Vendor


def locate(vendor: Vendor, account: Account) -> Routes:
    pasted = given_base(vendor, account)
    path, _ = without_endpoint(vendor, pasted.path)
    base = replace(pasted, path=path, query=with_api_version(pasted.query, account.api_version))
    return Routes(urls=urls_below(vendor, base), deployments=account.deployments, base=base.url())


VENDOR = Vendor(
    name="anthropic_compatible",
    title="Anthropic-compatible",
    docs="https://platform.claude.com/docs/en/api/messages",
    base_url=None,
    paths={"chat": "/v1/messages", "count_tokens": "/v1/messages/count_tokens", "models": "/v1/models"},
    auth="x-api-key",
    key_required=False,
    dialect="anthropic_messages",
    listing="anthropic",
    strip=("/v1",),
    headers={"anthropic-version": VERSION},
    locate=locate,
)
