"""The simulated provider: a server of our own, so that everything can be tried without an account.

Its address is known only once that server listens, so it is set then. It speaks every dialect; the
settings' ``api`` chooses one.
"""

from __future__ import annotations

from typing import ClassVar

from dragoman.language.ir import Request
from dragoman.language.profiles import Profile
from dragoman.settings.addresses import check_base
from dragoman.settings.model import ProviderSettings
from dragoman.upstream.calls import Operation
from dragoman.upstream.credentials import Credential, NoKey
from dragoman.upstream.providers.base import Provider, safe_segment
from dragoman.upstream.providers.google import _verb
