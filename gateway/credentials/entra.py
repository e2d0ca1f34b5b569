"""Entra ID tokens, by the chain of azure-identity: environment, workload identity, managed identity, az."""

from __future__ import annotations

from typing import Any

from gateway.credentials.fetched import Token

# https://learn.microsoft.com/azure/ai-services/openai/how-to/managed-identity
SCOPE = "https://cognitiveservices.azure.com/.default"
INSTALL = "azure-identity is not installed: pip install 'skein-gateway[azure]'"


class Entra:
    """``source``: anything with azure-core's ``get_token(scope)``. None: azure-identity, imported when first used."""

    NAME = "Entra"

    def __init__(self, source: Any = None) -> None:
        self._source = source

    def fetch(self) -> tuple[Token, float]:
        if self._source is None:
            from azure.identity import DefaultAzureCredential

            self._source = DefaultAzureCredential()
        token = self._source.get_token(SCOPE)
        return Token(token.token), float(token.expires_on)
