"""``dragoman`` as it is, which also tells what it holds when it is sent SIGUSR1.

``python -m tests.fault.watched serve ...`` writes ``holds.json`` into its working directory: counts that no
client can see. Nothing of the gateway is changed.
"""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

from dragoman import keeping
from dragoman.cli import main
from dragoman.relay.admission.memory import MemoryAdmission
from dragoman.relay.admission.rules import MONEY

HOLDS = "holds.json"
_keep = keeping.keep


async def keep(*args: Any, **options: Any) -> Any:
    """Open everything, and listen."""
    kept = await _keep(*args, **options)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, _tell, kept)
    return kept


def _tell(kept: Any) -> None:
    draft = Path(f"{HOLDS}.part")
    draft.write_text(json.dumps(_seen(kept)))
    draft.replace(HOLDS)


def _seen(kept: Any) -> dict[str, Any]:
    admission, ledger = kept.admission, kept.ledger
    local = admission if isinstance(admission, MemoryAdmission) else admission._local
    tables, now = local.tables, local.pace()
    counters = [(tables._used[key], counter) for key, counter in tables.counters.items()]
    lines = getattr(admission, "_budgets", {}).values()
    return {
        "calls": len([one for one in local.alive if not one.ended]),
        "books": len(kept.books._open),
        "open": len(ledger._open),
        "put_aside": ledger.put_aside,
        "redis": getattr(admission, "up", None),
        "held": sum(counter.held for _, counter in counters),
        "places": sum(places.taken(now) for places in tables.places.values()),
        "counters": [[*_span(line), counter.spent] for line, counter in counters],
        "shared": [_span(line) for line in lines],
    }


def _span(line: Any) -> list[Any]:
    """The count's key, whether it is of money, and its span."""
    span = line.span
    return [line.key, line.kind == MONEY, span.scope, span.model, span.window, span.start]


if __name__ == "__main__":
    keeping.keep = keep
    main()
