"""Presets: the defaults of five earlier proxies, chosen from what is configured, and ours.

A preset sets defaults only, every explicit value wins over them. All that exists for one of those
proxies alone lives in this room; nothing else of the house knows their names.
"""

from dragoman.settings.presets.chat_azure import Resource, is_resource_file, read_resource
from dragoman.settings.presets.choice import Choice, choose_preset, model_defaults, model_notes
from dragoman.settings.presets.retired import retired_variables
from dragoman.settings.presets.rows import Preset

__all__ = [
    "Choice",
    "Preset",
    "Resource",
    "choose_preset",
    "is_resource_file",
    "model_defaults",
    "model_notes",
    "read_resource",
    "retired_variables",
]
