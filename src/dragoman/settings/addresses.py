"""Which addresses a provider may live at: public ones, private ones when allowed, metadata services never.

Names are judged as written here and again by their addresses when a connection is made. This module
must not resolve names nor know what a URL is used for.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

Reach = Literal["public", "private", "forbidden"]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_METADATA_NAMES = frozenset({"metadata.google.internal", "metadata.goog", "instance-data.ec2.internal"})
_METADATA = frozenset(
    ipaddress.ip_address(text) for text in ("fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16")
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_SHARED = ipaddress.ip_network("100.64.0.0/10")


def reach_of_address(address: Address) -> Reach:
    """How far an address reaches; IPv4 inside IPv6 is judged as what it is."""
    inner = _embedded(address)
    if inner is not None:
        return reach_of_address(inner)
    if address in _METADATA or address.is_link_local or address.is_multicast:
        return "forbidden"
    if address in _SHARED or not address.is_global:
        return "private"
    return "public"


def _embedded(address: Address) -> ipaddress.IPv4Address | None:
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address.teredo is not None:
        return address.teredo[1]
    return address.ipv4_mapped or address.sixtofour


def reach_of_host(host: str) -> Reach:
    """How far a host reaches as written. A name is public until it resolves to something else."""
    name = host.strip("[]").rstrip(".").lower()
    if name in _METADATA_NAMES:
        return "forbidden"
    if name == "localhost" or name.endswith(".localhost"):
        return "private"
    address = _literal(name)
    return "public" if address is None else reach_of_address(address)


def is_loopback(host: str) -> bool:
    """Whether a host, as written, can only be reached from its own machine."""
    name = host.strip("[]").rstrip(".").lower()
    address = _literal(name)
    return name == "localhost" or name.endswith(".localhost") if address is None else address.is_loopback


def _literal(name: str) -> Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        pass
    try:
        # Also 2130706433, 0x7f.1 and 0177.0.0.1, which resolvers take for addresses.
        return ipaddress.IPv4Address(socket.inet_aton(name))
    except (OSError, UnicodeEncodeError):
        return None


@dataclass(frozen=True, slots=True)
class Base:
    """A checked base URL. ``origin`` is scheme, host and port; ``path`` has no trailing slash; ``query`` as given."""

    origin: str
    host: str
    path: str
    query: str

    @property
    def url(self) -> str:
        """Origin and path."""
        return self.origin + self.path


def read_base(text: str) -> Base:
    """Take a base URL apart. Raises ValueError saying what is wrong, without echoing the URL."""
    if any(character <= " " or character == "\\" or character == "\x7f" for character in text):
        raise ValueError("is not a URL: it holds a space, a backslash or a control character")
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https"):
        raise ValueError("must begin with https:// or http://")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user name or password; use api_key")
    if not parts.hostname:
        raise ValueError("names no host")
    if parts.port == 0:
        raise ValueError("has the port 0")
    origin = f"{parts.scheme}://{parts.netloc.lower()}"
    return Base(origin, parts.hostname, parts.path.rstrip("/"), parts.query)


def check_base(text: str, *, allow_private: bool) -> Base:
    """Take a base URL apart and refuse what it may not reach. Raises ValueError with a sentence for a person."""
    base = read_base(text)
    reach = reach_of_host(base.host)
    if reach == "forbidden":
        raise ValueError("points to a metadata or link-local address, which is never allowed")
    if reach == "private" and not allow_private:
        raise ValueError("points to a private address; if that is meant, set allow_private: true")
    return base
