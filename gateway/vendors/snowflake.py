"""Snowflake Cortex: OpenAI's dialect for every model, Anthropic's for Claude too.

A key is taken for a programmatic access token. For another kind set the header to what it is, under ``headers``:
``x-snowflake-authorization-token-type: OAUTH`` or ``KEYPAIR_JWT``. The token of a session is written as Snowflake's own
client sends it: ``api_key: 'Snowflake Token="..."'``.
"""

from __future__ import annotations

import re

from msgspec.structs import replace

from gateway.vendors.base_url import BaseURL
from gateway.vendors.foreign import DEVELOPER
from gateway.vendors.locate import ENDPOINTS, given_base, tail, urls_below
from gateway.vendors.vendor import Account, Routes, Vendor

_HOST = "snowflakecomputing.com"
# An account's name, or the older locator with its region and cloud: xy12345.east-us-2.azure
_ACCOUNT = re.compile(r"[^.:\[\]]+(\.[a-z]+(-[a-z0-9]+)+(\.(aws|azure|gcp))?)?")
_PREFIX = ("api", "v2", "cortex")
_PASTED = ((*_PREFIX, "v1"), (*_PREFIX, "inference:complete"), _PREFIX, _PREFIX[:2], *ENDPOINTS)


def locate(vendor: Vendor, account: Account) -> Routes:
    base = _of_account(given_base(vendor, account))
    path = base.path
    while suffix := tail(path, _PASTED):
        path = path[: -len(suffix)]
    base = replace(base, path=path)
    return Routes(urls=urls_below(vendor, base), deployments=account.deployments, base=base.url())


def _of_account(base: BaseURL) -> BaseURL:
    """The host of an account that was given by its name. Underscores of names are hyphens in hosts."""
    if base.port is not None or base.host == "localhost" or not _ACCOUNT.fullmatch(base.host):
        return base
    return replace(base, scheme="https", host=f"{base.host.replace('_', '-')}.{_HOST}")


_TOKEN_TYPE = {"x-snowflake-authorization-token-type": "PROGRAMMATIC_ACCESS_TOKEN"}

CLAUDE = Vendor(
    name="snowflake",
    title="Snowflake Cortex",
    docs="https://docs.snowflake.com/en/user-guide/snowflake-cortex/cortex-rest-api",
    base_url=None,
    paths={"chat": "/api/v2/cortex/v1/messages"},
    dialect="anthropic_messages",
    serves=("claude*",),
    headers={**_TOKEN_TYPE, "anthropic-version": "2023-06-01"},
    locate=locate,
)

VENDOR = Vendor(
    name="snowflake",
    title="Snowflake Cortex",
    docs="https://docs.snowflake.com/en/user-guide/snowflake-cortex/cortex-rest-api",
    base_url=None,
    # It lists its models in SQL alone.
    paths={"chat": "/api/v2/cortex/v1/chat/completions"},
    faces=(CLAUDE,),
    key_env=("SNOWFLAKE_TOKEN",),
    host_env=("SNOWFLAKE_HOST",),
    # Passed over by its older name: https://github.com/langchain-ai/langchain-snowflake/issues/132
    rename={"max_tokens": "max_completion_tokens"},
    roles=DEVELOPER,
    replays=frozenset({"reasoning_details"}),  # Claude's thoughts come and go in them, signed
    headers=_TOKEN_TYPE,
    locate=locate,
)
