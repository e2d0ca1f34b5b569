"""Google's access tokens, by google-auth: a service account, a user, a workload identity, or the machine's own."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC
from pathlib import Path
from typing import Any

import msgspec

from gateway.credentials.fetched import Token

SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
INSTALL = "google-auth is not installed: pip install 'skein-gateway[google]'"
# Of a token that does not say when it ends; Google's last an hour.
USUAL_LIFE = 3600.0


class Google:
    """``credentials_file``: of any kind that Google writes; left out, the Application Default Credentials."""

    NAME = "Google"

    def __init__(self, credentials_file: str | None = None, clock: Callable[[], float] = time.time) -> None:
        self._file, self._clock = credentials_file, clock
        self._credentials: Any = None

    def fetch(self) -> tuple[Token, float]:
        # google-auth needs requests for it, in all its own credentials too.
        from google.auth.transport.requests import Request

        if self._credentials is None:
            self._credentials = self._load()
        credentials = self._credentials
        credentials.refresh(Request())
        ends = credentials.expiry.replace(tzinfo=UTC).timestamp() if credentials.expiry else None
        project = getattr(credentials, "quota_project_id", None)
        headers = (("x-goog-user-project", project),) if project else ()
        return Token(credentials.token, headers), ends or self._clock() + USUAL_LIFE

    def _load(self) -> Any:
        import google.auth

        library: Any = google.auth  # typed in parts only
        if self._file is None:
            return library.default(scopes=SCOPES)[0]
        return library.load_credentials_from_file(str(Path(self._file).expanduser()), scopes=SCOPES)[0]


class _File(msgspec.Struct):
    project_id: str | None = None
    quota_project_id: str | None = None


def project_of(credentials_file: str | None, env: Mapping[str, str]) -> str | None:
    """The project that the credentials are of, as far as it can be told without asking anybody."""
    for name in ("GOOGLE_CLOUD_PROJECT", "GCP_PROJECT_ID", "GCLOUD_PROJECT"):
        if env.get(name):
            return env[name]
    config = env.get("CLOUDSDK_CONFIG") or f"{env.get('HOME', '')}/.config/gcloud"
    usual = f"{config}/application_default_credentials.json"
    path = credentials_file or env.get("GOOGLE_APPLICATION_CREDENTIALS") or usual
    try:
        said = msgspec.json.decode(Path(path).expanduser().read_bytes(), type=_File)
    except (OSError, ValueError, RuntimeError):
        return None
    return said.project_id or said.quota_project_id
