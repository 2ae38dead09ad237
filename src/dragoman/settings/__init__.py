"""The configuration: read from command line, environment, ``.env``, YAML file and defaults, in that order.

It must not know who uses it. ``load_settings`` is the way in; ``Settings`` what comes out.
"""

from dragoman.settings.errors import ConfigError
from dragoman.settings.load import load_settings
from dragoman.settings.model import (
    AuthSettings,
    LimitSettings,
    LogSettings,
    ModelSettings,
    ProviderSettings,
    Secret,
    ServerSettings,
    Settings,
)

__all__ = [
    "AuthSettings",
    "ConfigError",
    "LimitSettings",
    "LogSettings",
    "ModelSettings",
    "ProviderSettings",
    "Secret",
    "ServerSettings",
    "Settings",
    "load_settings",
]
