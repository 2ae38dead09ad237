"""The configuration: read from command line, environment, ``.env``, YAML file and defaults, in that order.

It must not know who uses it. ``load_settings`` is the way in; ``Settings`` what comes out.
"""

from dragoman.settings.errors import ConfigError
from dragoman.settings.house import LogSettings
from dragoman.settings.load import load_settings
from dragoman.settings.model import (
    AuthSettings,
    LimitSettings,
    ModelSettings,
    ProviderSettings,
    ServerSettings,
    Settings,
)
from dragoman.settings.parts import Secret
from dragoman.settings.routes import RouteSettings, TargetSettings

__all__ = [
    "AuthSettings",
    "ConfigError",
    "LimitSettings",
    "LogSettings",
    "ModelSettings",
    "ProviderSettings",
    "RouteSettings",
    "Secret",
    "ServerSettings",
    "Settings",
    "TargetSettings",
    "load_settings",
]
