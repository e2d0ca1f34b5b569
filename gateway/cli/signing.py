"""How a provider signs in and what headers it sends, told with variables in the place of secrets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import msgspec

from gateway.config import Provider
from gateway.vendors import VENDORS, Vendor

MASK = "****"
ENTRA = "$(az account get-access-token --resource https://cognitiveservices.azure.com --query accessToken -o tsv)"
"""What a shell puts in the place of a token that is fetched."""


class Signing(msgspec.Struct, frozen=True, kw_only=True):
    """``header`` is empty when nothing is sent. ``variable`` is what a shell fills in: ``$OPENAI_API_KEY``."""

    header: str = ""
    prefix: str = ""
    variable: str = ""
    keys: int = 0
    """How many keys there are to choose from."""

    @property
    def shown(self) -> str:
        """``Authorization: Bearer **** ($OPENAI_API_KEY)``"""
        if not self.header:
            return "no key"
        source = "Entra ID" if self.variable == ENTRA else self.variable
        pool = f", the first of {self.keys} keys" if self.keys > 1 else ""
        return f"{self.header}: {self.prefix}{MASK} ({source}{pool})"

    @property
    def for_shell(self) -> tuple[tuple[str, str], ...]:
        return ((self.header, self.prefix + self.variable),) if self.header else ()


def signing_of(name: str, settings: Provider, env: Mapping[str, str]) -> Signing:
    vendor = VENDORS[settings.vendor or name]
    if settings.ad_token:
        variable = variable_of(settings.ad_token, ("AZURE_OPENAI_AD_TOKEN", f"{shouted(name)}_AD_TOKEN"), env)
        return Signing(header="Authorization", prefix="Bearer ", variable=variable)
    if settings.credential:
        return Signing(header="Authorization", prefix="Bearer ", variable=ENTRA)
    if not settings.keys or vendor.auth == "none":
        return Signing()
    variable = variable_of(settings.keys[0], (*vendor.key_env, f"{shouted(name)}_API_KEY"), env)
    header, prefix = ("Authorization", "Bearer ") if vendor.auth == "bearer" else (vendor.auth, "")
    return Signing(header=header, prefix=prefix, variable=variable, keys=len(settings.keys))


def shell_headers(settings: Provider, vendor: Vendor, env: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The provider's own headers. Those of the configuration may be secrets, so all of them are variables."""
    own = ((name, variable_of(value, (shouted(name),), env)) for name, value in settings.headers.items())
    return (*vendor.headers.items(), *own)


def variable_of(secret: str, usual: Iterable[str], env: Mapping[str, str]) -> str:
    """1. A usual one that holds it. 2. Any that does. 3. A usual one that holds nothing else. 4. The last usual one."""
    usual = tuple(usual)
    for name in (*usual, *sorted(env)):
        if env.get(name, "").strip() == secret:
            return f"${name}"
    return "$" + next((name for name in usual if not env.get(name, "").strip()), usual[-1])


def shouted(name: str) -> str:
    return re.sub(r"\W|^(?=\d)", "_", name).upper()


def secrets_of(settings: Provider) -> tuple[str, ...]:
    """Everything of a provider's that must not be seen."""
    held = (*settings.keys, settings.ad_token or "", *settings.headers.values())
    # A header's value of a letter or two is no secret, and blotting it out would spoil every sentence.
    return tuple(value.removeprefix("Bearer ") for value in held if len(value) >= 6)


def blotted(text: str, secrets: Iterable[str]) -> str:
    """Without the secrets, and without words that begin as one does: vendors echo keys with only their middle gone."""
    for secret in secrets:
        text = text.replace(secret, MASK)
        if len(secret) >= 12:
            text = re.sub(rf"{re.escape(secret[:5])}[^\s\"',;]*", MASK, text)
    return text
