"""Who runs a service, guessed from its address; the settings' ``vendor`` overrules the guess.

A vendor's name is what its row in ``language.profiles`` is called. This module knows addresses and no
fact about anybody.
"""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import urlsplit

from dragoman.settings.addresses import reach_of_host

UNKNOWN = "compatible"
"""Who runs a service whose address tells nothing."""

_DOMAINS: dict[str, str] = {
    "x.ai": "xai",
    "z.ai": "zai",
    "bigmodel.cn": "zai",
    "aliyuncs.com": "alibaba",
    "api.aws": "bedrock",
    "amazonaws.com": "bedrock",
    "azure.com": "azure",
    "azure.us": "azure",
    "azure.cn": "azure",
    "crusoecloud.com": "crusoe",
    "githubcopilot.com": "github-copilot",
    "googleapis.com": "gemini-openai",
    "huggingface.co": "huggingface",
    "kimi.com": "moonshot",
    "snowflakecomputing.com": "snowflake",
    "vercel.sh": "vercel",
    "volces.com": "volcengine",
    "minimaxi.com": "minimax",
}
"""Domains whose second level is not their vendor's name; elsewhere ``api.groq.com`` is simply groq."""

_LOCAL_PORTS = {11434: "ollama", 1234: "lmstudio"}
"""Ports of one's own machine that are as good as a name."""


@lru_cache(maxsize=256)
def vendor_of(origin: str) -> str:
    """The vendor behind an origin such as ``https://api.groq.com``; ``UNKNOWN`` when it tells nothing."""
    parts = urlsplit(origin)
    host = (parts.hostname or "").rstrip(".")
    if reach_of_host(host) != "public":
        return _LOCAL_PORTS.get(parts.port or 0, UNKNOWN)
    labels = host.split(".")
    if len(labels) < 2 or labels[-1].isdigit() or ":" in host:
        return UNKNOWN
    for at in range(len(labels) - 1):
        if vendor := _DOMAINS.get(".".join(labels[at:])):
            return vendor
    return labels[-2]
