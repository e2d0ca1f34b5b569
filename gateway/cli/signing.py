"""How a provider signs in and what headers it sends, told with variables in the place of secrets."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from gateway.config import Config, Provider
from gateway.config.findings import child, item
from gateway.vendors import VENDORS

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
    in_file: bool = False
    """The secret stands in the file itself: the variable's name is ours."""

    @property
    def shown(self) -> str:
        """``Authorization: Bearer **** ($OPENAI_API_KEY)``"""
        if not self.header:
            return "no key"
        source = "Entra ID" if self.variable == ENTRA else "in the file" if self.in_file else self.variable
        pool = f", the first of {self.keys} keys" if self.keys > 1 else ""
        return f"{self.header}: {self.prefix}{MASK} ({source}{pool})"

    @property
    def for_shell(self) -> tuple[tuple[str, str], ...]:
        return ((self.header, self.prefix + self.variable),) if self.header else ()


def signing_of(name: str, config: Config) -> Signing:
    settings, path = config.providers[name], child("providers", name)
    vendor = VENDORS[settings.vendor or name]
    bearer = Signing(header="Authorization", prefix="Bearer ")
    if settings.ad_token:
        known = config.variables.get(child(path, "ad_token"))
        return _from(bearer, known, f"{shouted(name)}_AD_TOKEN")
    if settings.credential:
        return msgspec.structs.replace(bearer, variable=ENTRA)
    if not settings.keys or vendor.auth == "none":
        return Signing()
    signing = bearer if vendor.auth == "bearer" else Signing(header=vendor.auth)
    signing = msgspec.structs.replace(signing, keys=len(settings.keys))
    known = config.variables.get(item(child(path, "api_keys"), 0) if settings.api_keys else child(path, "api_key"))
    return _from(signing, known, f"{shouted(name)}_API_KEY")


def _from(signing: Signing, known: str | None, invented: str) -> Signing:
    return msgspec.structs.replace(signing, variable=f"${known or invented}", in_file=known is None)


def shell_headers(name: str, config: Config) -> tuple[tuple[str, str], ...]:
    """The provider's own headers. Those of the configuration may be secrets, so all of them are variables."""
    settings, path = config.providers[name], child(child("providers", name), "headers")
    own = ((each, f"${config.variables.get(child(path, each)) or shouted(each)}") for each in settings.headers)
    return (*VENDORS[settings.vendor].headers.items(), *own)


def introductions(name: str, config: Config) -> tuple[str, ...]:
    """Comment lines for the variables that only our ``curl`` lines know, because the file holds the values."""
    signing, path = signing_of(name, config), child(child("providers", name), "headers")
    of_key = [f"# {signing.variable[1:]}: the key of provider {name}"] if signing.header and signing.in_file else []
    headers = [each for each in config.providers[name].headers if child(path, each) not in config.variables]
    return (*of_key, *(f"# {shouted(each)}: the header {each} of provider {name}" for each in headers))


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
