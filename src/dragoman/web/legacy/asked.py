"""One request to one of the calls. It must not know calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dragoman.store.accounts.model import ANONYMOUS, Caller
from dragoman.web.legacy.answers import Refused
from dragoman.web.legacy.parameters import as_id


@dataclass(frozen=True, slots=True)
class Asked:
    """``said`` are all parameters, ``value`` is the id in the path, ``address`` the client's."""

    caller: Caller = ANONYMOUS
    said: dict[str, Any] = field(default_factory=dict)
    value: str = ""
    address: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    secure: bool = False

    @property
    def id(self) -> int:
        """The id in the path. Raises Refused for what cannot be one."""
        found = as_id(self.value)
        if found is None:
            raise Refused(404, "not found")
        return found

    @property
    def user_id(self) -> int:
        """The caller's id; rows of level ``user`` have one."""
        assert self.caller.user_id is not None
        return self.caller.user_id
