"""The tables, once for SQLite and PostgreSQL. A change here is a migration in ``store/migrations``.

Money is whole nano-units of a currency (10⁻⁹ USD), never a float. Times are UTC, in whole microseconds since
1970 (``Moment``), so that both engines compare and sum them alike. It must not know queries.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
Moment = BigInteger
Nano = BigInteger
Id = BigInteger().with_variant(Integer, "sqlite")
Data = JSON().with_variant(JSONB, "postgresql")

# ---------------------------------------------------------------- people and keys

groups = Table(
    "groups",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(200), nullable=False, unique=True),
    Column("rules", Data, nullable=False),  # as accounts.rules.write_rules spells them
    Column("created_at", Moment, nullable=False),
    sqlite_autoincrement=True,  # the ledger names ids: one that was freed is never given again
)

users = Table(
    "users",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(200), nullable=False, unique=True),
    Column("email", String(320)),
    Column("role", String(16), nullable=False),  # admin, manager, user
    Column("active", Boolean, nullable=False),
    Column("group_id", ForeignKey("groups.id", ondelete="SET NULL")),
    Column("rules", Data, nullable=False),
    Column("opening_balance", BigInteger, nullable=False, server_default="0"),  # tokens used before an import
    Column("origin", String(200), nullable=False, server_default=""),
    Column("created_at", Moment),
    Column("deleted_at", Moment),
    sqlite_autoincrement=True,
)

keys = Table(
    "keys",
    metadata,
    Column("id", Id, primary_key=True),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("name", String(200), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),  # hexadecimal; see accounts.hashing
    Column("prefix", String(16), nullable=False, server_default=""),
    Column("active", Boolean, nullable=False),
    Column("rules", Data, nullable=False),
    Column("default_model", String(512)),
    Column("expires_at", Moment),
    Column("last_used_at", Moment),
    Column("replaced_by", ForeignKey("keys.id", ondelete="SET NULL")),
    Column("origin", String(200), nullable=False, server_default=""),
    Column("created_at", Moment, nullable=False),
    Index(None, "user_id"),
    sqlite_autoincrement=True,
)

# ---------------------------------------------------------------- configuration kept in the database

objects = Table(
    "objects",
    metadata,
    Column("kind", String(16), nullable=False),  # provider, route, price, limits
    Column("name", String(200), nullable=False),
    Column("data", Data, nullable=False),
    Column("secret", Text),  # MultiFernet of a JSON object; never returned
    Column("updated_at", Moment, nullable=False),
    PrimaryKeyConstraint("kind", "name"),
)

facts = Table(  # one-row truths: schema notes, import marks, the configuration's version
    "facts",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("value", Text, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Id, primary_key=True),
    Column("at", Moment, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("action", String(64), nullable=False),
    Column("object", String(200), nullable=False),
    Column("details", Data, nullable=False),
    Index(None, "at"),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("actor", String(200), nullable=False),
    Column("key", String(200), nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("status", Integer, nullable=False),
    Column("answer", Text, nullable=False),  # without secrets: a key is shown once
    Column("at", Moment, nullable=False),
    PrimaryKeyConstraint("actor", "key"),
)

# ---------------------------------------------------------------- the ledger

intents = Table(
    "intents",
    metadata,
    Column("call_id", String(32), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("replica", String(64), nullable=False),
    Column("at", Moment, nullable=False),
    Column("facts", Data, nullable=False),  # what an entry needs when only this is left
    Column("output_so_far", BigInteger, nullable=False, server_default="0"),
    PrimaryKeyConstraint("call_id", "attempt"),
    Index(None, "replica"),
)


def _where_named(*columns: str) -> Index:
    """An index of the rows whose first column is not empty; a query has to say so, too, in these words."""
    named = text(f"{columns[0]} <> ''")
    return Index(None, *columns, sqlite_where=named, postgresql_where=named)


entries = Table(
    "entries",
    metadata,
    Column("id", Id, primary_key=True),
    Column("call_id", String(32), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("kind", String(12), nullable=False),  # final, recovered, reversal
    Column("closes", Boolean, nullable=False),  # this entry ends its call
    Column("at", Moment, nullable=False),  # when the attempt began: decides hour, day and budget window
    Column("request_id", String(128), nullable=False),
    Column("user_id", BigInteger),
    Column("key_id", BigInteger),
    Column("group_id", BigInteger),
    Column("route", String(200), nullable=False),
    Column("provider", String(200), nullable=False),
    Column("asked_model", String(512), nullable=False),
    Column("model", String(512), nullable=False),
    Column("surface", String(64), nullable=False),
    Column("session", String(256), nullable=False),
    Column("agent", String(256), nullable=False),
    Column("parent_agent", String(256), nullable=False),  # who sent that agent out; empty for the first
    Column("prompt", String(256), nullable=False),
    Column("status", Integer, nullable=False),
    Column("outcome", String(12), nullable=False),  # answered, failed, refused, left
    Column("failure", String(64), nullable=False),
    Column("stream", Boolean, nullable=False),
    Column("input", BigInteger),  # unreported is NULL, reported 0 is 0
    Column("cache_read", BigInteger),
    Column("cache_write", BigInteger),
    Column("output", BigInteger),
    Column("reasoning", BigInteger),
    Column("usage_source", String(10), nullable=False),  # provider, estimated, recovered
    Column("partial", Boolean, nullable=False),
    Column("cost", Nano),  # NULL: no price is known
    Column("price", String(64), nullable=False),  # the price version it was charged at
    Column("stated_cost", Nano),  # what the provider itself said
    Column("milliseconds", Integer),
    Column("first_byte_milliseconds", Integer),
    Column("attempts", Integer, nullable=False),
    Column("receipt", Data, nullable=False),
    Column("details", Data, nullable=False),  # raw usage and what has no column
    UniqueConstraint("call_id", "attempt", "kind"),
    Index(None, "at"),
    Index(None, "user_id", "at"),
    Index(None, "key_id", "at"),
    *(_where_named(name, "at") for name in ("session", "agent", "parent_agent", "prompt")),
    _where_named("request_id"),
)


def _usage(name: str) -> Table:
    """Sums by hour or day: always the sum of entries, changed in the transaction that adds them."""
    return Table(
        name,
        metadata,
        Column("bucket", Moment, nullable=False),
        Column("user_id", BigInteger, nullable=False),  # 0 stands for nobody
        Column("key_id", BigInteger, nullable=False),
        Column("group_id", BigInteger, nullable=False),
        Column("route", String(200), nullable=False),
        Column("provider", String(200), nullable=False),
        Column("model", String(512), nullable=False),
        Column("surface", String(64), nullable=False),
        Column("calls", BigInteger, nullable=False),
        Column("failed", BigInteger, nullable=False),
        Column("attempts", BigInteger, nullable=False),
        Column("input", BigInteger, nullable=False),
        Column("cache_read", BigInteger, nullable=False),
        Column("cache_write", BigInteger, nullable=False),
        Column("output", BigInteger, nullable=False),
        Column("reasoning", BigInteger, nullable=False),
        Column("cost", Nano, nullable=False),
        Column("unpriced", BigInteger, nullable=False),
        Column("estimated", BigInteger, nullable=False),
        Column("milliseconds", BigInteger, nullable=False),
        PrimaryKeyConstraint(
            "bucket", "user_id", "key_id", "group_id", "route", "provider", "model", "surface", name=f"pk_{name}"
        ),
    )


usage_hour = _usage("usage_hour")
usage_day = _usage("usage_day")

budget_windows = Table(
    "budget_windows",
    metadata,
    Column("scope", String(64), nullable=False),  # global, group:3, user:7, key:12
    Column("model", String(512), nullable=False, server_default=""),  # empty: every model
    Column("window", String(8), nullable=False),  # day, week, month, total
    Column("start", Moment, nullable=False),
    Column("cost", Nano, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    PrimaryKeyConstraint("scope", "model", "window", "start"),
)

leases = Table(
    "leases",
    metadata,
    Column("replica", String(64), primary_key=True),
    Column("until", Moment, nullable=False),  # by the database's clock
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("id", Id, primary_key=True),
    Column("at", Moment, nullable=False),
    Column("row", Text, nullable=False),
    Column("why", Text, nullable=False),
)

sign_ins = Table(
    "sign_ins",
    metadata,
    Column("mark", String(64), primary_key=True),  # the hash of what the cookie holds
    Column("name", String(200), nullable=False),
    Column("owner", String(200), nullable=False),
    Column("role", String(8), nullable=False),
    Column("until", Moment, nullable=False),
)
