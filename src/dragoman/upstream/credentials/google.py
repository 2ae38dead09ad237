"""Application Default Credentials of Google, through google-auth, which is installed with the extra ``google``.

https://cloud.google.com/docs/authentication/application-default-credentials
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from typing import Any

from dragoman.upstream.credentials.tokens import FreshToken, Token

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_UNSAID_LIFE = 3600.0


class GoogleToken(FreshToken):
    """Whatever google-auth finds on this machine: a key file, a user's login, the machine's own account."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        missing = "google-auth is missing: install dragoman with its extra 'google'"
        super().__init__(self._from_google, clock, forget=self._drop, missing=missing)
        self._credentials: Any = None

    def _from_google(self) -> Token:
        import google.auth
        import google.auth.transport.requests

        if self._credentials is None:
            self._credentials, _ = google.auth.default(scopes=[SCOPE])
        self._credentials.refresh(google.auth.transport.requests.Request())
        expiry = self._credentials.expiry
        if expiry is None:
            return Token(self._credentials.token, self._clock() + _UNSAID_LIFE)
        # google-auth keeps naive UTC.
        return Token(self._credentials.token, expiry.replace(tzinfo=datetime.UTC).timestamp())

    def _drop(self) -> None:
        """Read the credentials anew: the file may have been replaced."""
        self._credentials = None
