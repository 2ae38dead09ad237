"""Which configuration file there is, and whose it is: our own, or one of chat_azure's kind.

It must not know what stands in our own.
"""

from __future__ import annotations

from pathlib import Path

from dragoman.settings.dotenv import Variables
from dragoman.settings.presets import is_resource_file
from dragoman.settings.yamlfile import ConfigFile, read_config_file

MOUNTED = Path("/opt/config.yaml")
"""Where containers mount it."""


def find_file(config: str | None, variables: Variables, folder: Path) -> ConfigFile | None:
    """The file that is named, else the first there is. Raises ConfigError for one that is named and cannot be read."""
    named = config or variables["DRAGOMAN_CONFIG"]
    if named:
        return read_config_file(folder / Path(named).expanduser(), variables)
    for path in (folder / "config.yaml", MOUNTED):
        if _is_file(path):
            return read_config_file(path, variables)
    return None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def split(file: ConfigFile | None) -> tuple[ConfigFile | None, ConfigFile | None]:
    """The file as our own, or as chat_azure's: one of the two, or neither."""
    if file is not None and is_resource_file(file.tree):
        return None, file
    return file, None
