"""How a provider signs in and what headers it sends, told with variables in the place of secrets."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from urllib.parse import urlsplit

import msgspec

from gateway.config import Config, Provider
from gateway.config.findings import child, item
from gateway.vendors import Vendor, routes

MASK = "****"
ENTRA = "$(az account get-access-token --resource https://cognitiveservices.azure.com --query accessToken -o tsv)"
"""What a shell puts in the place of a token that is fetched."""
GOOGLE = "$(gcloud auth print-access-token)"
COPILOT, DATABRICKS = "$COPILOT_TOKEN", "$DATABRICKS_OAUTH_TOKEN"
EXCHANGE = "https://api.github.com/copilot_internal/v2/token"


class Signing(msgspec.Struct, frozen=True, kw_only=True):
    """``header`` is empty when nothing is sent. ``variable`` is what a shell fills in: ``$OPENAI_API_KEY``."""

    header: str = ""
    prefix: str = ""
    variable: str = ""
    setting: str = "api_key"
    """The provider's setting that says so."""
    source: str = ""
    """Who gives it, where that is neither a variable nor the file."""
    keys: int = 0
    """How many keys there are to choose from."""
    in_file: bool = False
    """The secret stands in the file itself: the variable's name is ours."""
    introduced: tuple[str, ...] = ()
    """How a shell comes by the variable, where no program prints what goes there: comment lines."""
    options: tuple[str, ...] = ()
    """Of ``curl``, for what no header can hold: a signature over the whole call."""

    @property
    def shown(self) -> str:
        """``Authorization: Bearer **** ($OPENAI_API_KEY)``"""
        if not self.header:
            return "no key"
        source = self.source or ("in the file" if self.in_file else self.variable)
        pool = f", the first of {self.keys} keys" if self.keys > 1 else ""
        return f"{self.header}: {self.prefix}{MASK} ({source}{pool})"

    @property
    def for_shell(self) -> tuple[tuple[str, str], ...]:
        """The headers that sign in."""
        if self.options:
            return (("X-Amz-Security-Token", self.variable),) if self.variable else ()
        return ((self.header, self.prefix + self.variable),) if self.header else ()


BEARER = Signing(header="Authorization", prefix="Bearer ")


def signing_of(name: str, config: Config, face: Vendor | None = None) -> Signing:
    """How calls to one face of a provider are signed in, by the rule of ``gateway.accounts``; else to its first."""
    settings, path = config.providers[name], child("providers", name)
    vendor = face or config.vendors[settings.vendor]
    if settings.ad_token:
        known = config.variables.get(child(path, "ad_token"))
        return _from(BEARER, known, f"{shouted(name)}_AD_TOKEN", "ad_token")
    if vendor.identity == "github":
        return _copilot(name, config)
    if vendor.auth == "none":
        return Signing()
    if settings.keys and settings.credential is None:
        by_bearer = vendor.auth in ("bearer", "sigv4")
        signing = msgspec.structs.replace(BEARER if by_bearer else Signing(header=vendor.auth), keys=len(settings.keys))
        return _from(signing, _variable_of_key(settings, config, path), f"{shouted(name)}_API_KEY")
    return _identity(name, config, vendor)


def _identity(name: str, config: Config, vendor: Vendor) -> Signing:
    """Without a key: what the machine offers, or what other settings say."""
    settings = config.providers[name]
    if vendor.identity == "aws":
        return _aws(name, config, vendor)
    if vendor.identity == "google":
        setting = "credentials_file" if settings.credentials_file else "credential"
        return msgspec.structs.replace(BEARER, variable=GOOGLE, source="Google", setting=setting)
    if vendor.identity == "databricks" and settings.client_id:
        return _databricks(name, config, vendor)
    if vendor.identity == "entra" and settings.credential:
        return msgspec.structs.replace(BEARER, variable=ENTRA, source="Entra ID", setting="credential")
    return Signing()


def _copilot(name: str, config: Config) -> Signing:
    """Of GitHub's token only the exchange is told: what is sent is good for half an hour."""
    settings, path = config.providers[name], child("providers", name)
    known = _variable_of_key(settings, config, path) if settings.keys else None
    source = "GitHub, for " + (f"${known}" if known else "the token in the file") if settings.keys else "skein login"
    variable = known or "GITHUB_COPILOT_TOKEN"
    how = f'$(curl -sS -H "Authorization: token ${variable}" {EXCHANGE} | jq -r .token)'
    introduced = (f"# COPILOT_TOKEN={how}",)
    return msgspec.structs.replace(BEARER, variable=COPILOT, source=source, introduced=introduced)


def _databricks(name: str, config: Config, vendor: Vendor) -> Signing:
    """As the service principal that the settings name."""
    path, settings = child("providers", name), config.providers[name]
    host = urlsplit(routes(vendor, settings.account).base)
    ids = ":".join(f"${_named(config, path, each, name)}" for each in ("client_id", "client_secret"))
    form = "grant_type=client_credentials&scope=all-apis"
    how = f"$(curl -sS -u \"{ids}\" -d '{form}' {host.scheme}://{host.netloc}/oidc/v1/token | jq -r .access_token)"
    introduced = (*_invented(name, config, "client_id", "client_secret"), f"# {DATABRICKS[1:]}={how}")
    source = "OAuth of Databricks"
    return msgspec.structs.replace(
        BEARER, variable=DATABRICKS, source=source, setting="client_id", introduced=introduced
    )


def _aws(name: str, config: Config, vendor: Vendor) -> Signing:
    """A signature is of one call at one moment: ``curl`` makes its own, with the same keys."""
    path, settings = child("providers", name), config.providers[name]
    region = settings.account.region or "us-east-1"
    signing = Signing(header="Authorization", prefix="AWS4-HMAC-SHA256 ")
    introduced: tuple[str, ...] = ()
    if settings.access_key_id:
        key_id, secret = (_named(config, path, each, name) for each in ("access_key_id", "secret_access_key"))
        token = f"${_named(config, path, 'session_token', name)}" if settings.session_token else ""
        known = config.variables.get(child(path, "access_key_id"))
        setting, source = "access_key_id", f"AWS, {f'${known}' if known else 'in the file'}"
        introduced = _invented(name, config, "access_key_id", "secret_access_key", "session_token")
    else:
        key_id, secret, token = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "$AWS_SESSION_TOKEN"
        setting, source = "profile" if settings.profile else "credential", "AWS"
        profile = f" --profile {shlex.quote(settings.profile)}" if settings.profile else ""
        introduced = (f'# eval "$(aws configure export-credentials --format env{profile})"',)
    return msgspec.structs.replace(
        signing,
        variable=token,
        setting=setting,
        source=source,
        introduced=introduced,
        options=("--aws-sigv4", f'"aws:amz:{region}:{vendor.service}"', "--user", f'"${key_id}:${secret}"'),
    )


def _variable_of_key(settings: Provider, config: Config, path: str) -> str | None:
    return config.variables.get(item(child(path, "api_keys"), 0) if settings.api_keys else child(path, "api_key"))


def _named(config: Config, path: str, setting: str, name: str) -> str:
    """The variable a setting is from, or one that we make up for it."""
    return config.variables.get(child(path, setting)) or f"{shouted(name)}_{setting.upper()}"


def _invented(name: str, config: Config, *settings: str) -> tuple[str, ...]:
    """Comment lines for those of the settings whose values stand in the file."""
    path, provider = child("providers", name), config.providers[name]
    ours = [each for each in settings if getattr(provider, each) and child(path, each) not in config.variables]
    return tuple(f"# {_named(config, path, each, name)}: {each} of provider {name}" for each in ours)


def _from(signing: Signing, known: str | None, invented: str, setting: str = "api_key") -> Signing:
    return msgspec.structs.replace(signing, variable=f"${known or invented}", in_file=known is None, setting=setting)


def shell_headers(name: str, config: Config) -> tuple[tuple[str, str], ...]:
    """The provider's own headers. They may be secrets, so all of them are variables."""
    settings, path = config.providers[name], child(child("providers", name), "headers")
    return tuple((each, f"${config.variables.get(child(path, each)) or shouted(each)}") for each in settings.headers)


def introductions(name: str, config: Config, signing: Signing) -> tuple[str, ...]:
    """Comment lines for the variables that only our ``curl`` lines know, because the file holds the values."""
    path = child(child("providers", name), "headers")
    of_key = [f"# {signing.variable[1:]}: the key of provider {name}"] if signing.header and signing.in_file else []
    headers = [each for each in config.providers[name].headers if child(path, each) not in config.variables]
    own = (f"# {shouted(each)}: the header {each} of provider {name}" for each in headers)
    return (*signing.introduced, *of_key, *own)


def shouted(name: str) -> str:
    return re.sub(r"\W|^(?=\d)", "_", name).upper()


def secrets_of(settings: Provider) -> tuple[str, ...]:
    """Everything of a provider's that must not be seen."""
    of_clouds = (settings.secret_access_key, settings.session_token, settings.client_secret)
    held = (*settings.keys, settings.ad_token or "", *(each or "" for each in of_clouds), *settings.headers.values())
    # A header's value of a letter or two is no secret, and blotting it out would spoil every sentence.
    return tuple(value.removeprefix("Bearer ") for value in held if len(value) >= 6)


def blotted(text: str, secrets: Iterable[str]) -> str:
    """Without the secrets, and without words that begin as one does: vendors echo keys with only their middle gone."""
    for secret in secrets:
        text = text.replace(secret, MASK)
        if len(secret) >= 12:
            text = re.sub(rf"{re.escape(secret[:5])}[^\s\"',;]*", MASK, text)
    return text
