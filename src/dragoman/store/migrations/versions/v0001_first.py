"""The first schema: people and keys, configuration objects, the ledger and its sums."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

RUNS_ON: tuple[str, ...] = ()
"""Earlier steps whose code works on this schema."""

_Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_Data = sa.JSON().with_variant(JSONB(), "postgresql")
_TABLES = (
    "quarantine leases budget_windows usage_day usage_hour entries intents idempotency audit facts objects"
    " keys users groups"
).split()


def upgrade(operations: Operations) -> None:
    """Make every table."""
    _people(operations)
    _keys(operations)
    _configuration(operations)
    _intents(operations)
    _entries(operations)
    for name in ("usage_hour", "usage_day"):
        _usage(operations, name)
    _windows(operations)


def downgrade(operations: Operations) -> None:
    """Drop every table."""
    for table in _TABLES:
        operations.drop_table(table)


def _column(name: str, kind: Any, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, **{"nullable": False, **options})


def _key(table: str, *names: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*names, name=f"pk_{table}")


def _people(operations: Operations) -> None:
    operations.create_table(
        "groups",
        _column("id", _Id),
        _column("name", sa.String(200)),
        _column("rules", _Data),
        _column("created_at", sa.BigInteger),
        _key("groups", "id"),
        sa.UniqueConstraint("name", name="uq_groups_name"),
        sqlite_autoincrement=True,
    )
    operations.create_table(
        "users",
        _column("id", _Id),
        _column("name", sa.String(200)),
        _column("email", sa.String(320), nullable=True),
        _column("role", sa.String(16)),
        _column("active", sa.Boolean),
        _column("group_id", _Id, nullable=True),
        _column("rules", _Data),
        _column("opening_balance", sa.BigInteger, server_default="0"),
        _column("origin", sa.String(200), server_default=""),
        _column("created_at", sa.BigInteger, nullable=True),
        _column("deleted_at", sa.BigInteger, nullable=True),
        sa.ForeignKeyConstraint(["group_id"], ["groups.id"], name="fk_users_group_id", ondelete="SET NULL"),
        _key("users", "id"),
        sa.UniqueConstraint("name", name="uq_users_name"),
        sqlite_autoincrement=True,
    )


def _keys(operations: Operations) -> None:
    operations.create_table(
        "keys",
        _column("id", _Id),
        _column("user_id", _Id),
        _column("name", sa.String(200)),
        _column("hash", sa.String(64)),
        _column("prefix", sa.String(16), server_default=""),
        _column("active", sa.Boolean),
        _column("rules", _Data),
        _column("default_model", sa.String(512), nullable=True),
        _column("expires_at", sa.BigInteger, nullable=True),
        _column("last_used_at", sa.BigInteger, nullable=True),
        _column("replaced_by", _Id, nullable=True),
        _column("origin", sa.String(200), server_default=""),
        _column("created_at", sa.BigInteger),
        sa.ForeignKeyConstraint(["replaced_by"], ["keys.id"], name="fk_keys_replaced_by", ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_keys_user_id", ondelete="CASCADE"),
        _key("keys", "id"),
        sa.UniqueConstraint("hash", name="uq_keys_hash"),
        sqlite_autoincrement=True,
    )
    operations.create_index("ix_keys_user_id", "keys", ["user_id"])


def _configuration(operations: Operations) -> None:
    operations.create_table(
        "objects",
        _column("kind", sa.String(16)),
        _column("name", sa.String(200)),
        _column("data", _Data),
        _column("secret", sa.Text, nullable=True),
        _column("updated_at", sa.BigInteger),
        _key("objects", "kind", "name"),
    )
    operations.create_table("facts", _column("name", sa.String(200)), _column("value", sa.Text), _key("facts", "name"))
    operations.create_table(
        "audit",
        _column("id", _Id),
        _column("at", sa.BigInteger),
        _column("actor", sa.String(200)),
        _column("action", sa.String(64)),
        _column("object", sa.String(200)),
        _column("details", _Data),
        _key("audit", "id"),
    )
    operations.create_index("ix_audit_at", "audit", ["at"])
    operations.create_table(
        "idempotency",
        _column("actor", sa.String(200)),
        _column("key", sa.String(200)),
        _column("fingerprint", sa.String(64)),
        _column("status", sa.Integer),
        _column("answer", sa.Text),
        _column("at", sa.BigInteger),
        _key("idempotency", "actor", "key"),
    )


def _intents(operations: Operations) -> None:
    operations.create_table(
        "intents",
        _column("call_id", sa.String(32)),
        _column("attempt", sa.Integer),
        _column("replica", sa.String(64)),
        _column("at", sa.BigInteger),
        _column("facts", _Data),
        _column("output_so_far", sa.BigInteger, server_default="0"),
        _key("intents", "call_id", "attempt"),
    )
    operations.create_index("ix_intents_replica", "intents", ["replica"])


def _entries(operations: Operations) -> None:
    operations.create_table(
        "entries",
        _column("id", _Id),
        _column("call_id", sa.String(32)),
        _column("attempt", sa.Integer),
        _column("kind", sa.String(12)),
        _column("closes", sa.Boolean),
        _column("at", sa.BigInteger),
        _column("request_id", sa.String(128)),
        *(_column(name, sa.BigInteger, nullable=True) for name in ("user_id", "key_id", "group_id")),
        _column("route", sa.String(200)),
        _column("provider", sa.String(200)),
        _column("asked_model", sa.String(512)),
        _column("model", sa.String(512)),
        _column("surface", sa.String(64)),
        *(_column(name, sa.String(256)) for name in ("session", "agent", "parent_agent", "prompt")),
        _column("status", sa.Integer),
        _column("outcome", sa.String(12)),
        _column("failure", sa.String(64)),
        _column("stream", sa.Boolean),
        *(_column(name, sa.BigInteger, nullable=True) for name in ("input", "cache_read", "cache_write")),
        *(_column(name, sa.BigInteger, nullable=True) for name in ("output", "reasoning")),
        _column("usage_source", sa.String(10)),
        _column("partial", sa.Boolean),
        _column("cost", sa.BigInteger, nullable=True),
        _column("price", sa.String(64)),
        _column("stated_cost", sa.BigInteger, nullable=True),
        _column("milliseconds", sa.Integer, nullable=True),
        _column("first_byte_milliseconds", sa.Integer, nullable=True),
        _column("attempts", sa.Integer),
        _column("receipt", _Data),
        _column("details", _Data),
        _key("entries", "id"),
        sa.UniqueConstraint("call_id", "attempt", "kind", name="uq_entries_call_id_attempt_kind"),
    )
    operations.create_index("ix_entries_at", "entries", ["at"])
    operations.create_index("ix_entries_user_id_at", "entries", ["user_id", "at"])
    operations.create_index("ix_entries_key_id_at", "entries", ["key_id", "at"])
    for name in ("session", "agent", "parent_agent", "prompt"):
        _index_named(operations, name, "at")
    _index_named(operations, "request_id")


def _index_named(operations: Operations, *columns: str) -> None:
    """An index of the entries whose first column is not empty."""
    name, named = "_".join(("ix_entries", *columns)), sa.text(f"{columns[0]} <> ''")
    operations.create_index(name, "entries", list(columns), sqlite_where=named, postgresql_where=named)


def _usage(operations: Operations, table: str) -> None:
    counts = (
        "calls failed attempts input cache_read cache_write output reasoning cost unpriced estimated milliseconds"
    ).split()
    operations.create_table(
        table,
        *(_column(name, sa.BigInteger) for name in ("bucket", "user_id", "key_id", "group_id")),
        _column("route", sa.String(200)),
        _column("provider", sa.String(200)),
        _column("model", sa.String(512)),
        _column("surface", sa.String(64)),
        *(_column(name, sa.BigInteger) for name in counts),
        _key(table, "bucket", "user_id", "key_id", "group_id", "route", "provider", "model", "surface"),
    )


def _windows(operations: Operations) -> None:
    operations.create_table(
        "budget_windows",
        _column("scope", sa.String(64)),
        _column("model", sa.String(512), server_default=""),
        _column("window", sa.String(8)),
        _column("start", sa.BigInteger),
        _column("cost", sa.BigInteger),
        _column("tokens", sa.BigInteger),
        _key("budget_windows", "scope", "model", "window", "start"),
    )
    operations.create_table(
        "leases", _column("replica", sa.String(64)), _column("until", sa.BigInteger), _key("leases", "replica")
    )
    operations.create_table(
        "quarantine",
        _column("id", _Id),
        _column("at", sa.BigInteger),
        _column("row", sa.Text),
        _column("why", sa.Text),
        _key("quarantine", "id"),
    )
    operations.create_table(
        "sign_ins",
        _column("mark", sa.String(64)),
        _column("name", sa.String(200)),
        _column("owner", sa.String(200)),
        _column("role", sa.String(8)),
        _column("until", sa.BigInteger),
        _key("sign_ins", "mark"),
    )
