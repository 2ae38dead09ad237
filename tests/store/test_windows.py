"""When budget windows begin and end, in any zone: at local midnight, without a gap and without an overlap (D6)."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, insert, select

from dragoman.settings import Settings
from dragoman.settings.model import LimitSettings
from dragoman.store.accounts.model import Window
from dragoman.store.database import Database
from dragoman.store.ledger.check import violations
from dragoman.store.ledger.ledger import Ledger
from dragoman.store.ledger.settled import Settled, Span, ledger_reader
from dragoman.store.ledger.windows import WINDOWS, end_of, read_zone, start_of
from dragoman.store.ledger.zones import zone_of
from dragoman.store.schema import budget_windows, leases
from tests.store.bookings import Clock, attempted, final

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Africa/Cairo",
         "America/Havana", "Atlantic/Azores", "Pacific/Apia", "America/Santiago")  # fmt: skip
HOUR = 3_600 * 10**6


def micros(text: str, zone: str = "UTC") -> int:
    """Microseconds since 1970 of a local time."""
    moment = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))
    return int(moment.timestamp()) * 10**6 + moment.microsecond


@pytest.mark.parametrize(
    ("window", "zone", "at", "start", "end"),
    [
        ("day", "UTC", "2026-11-21T23:59:59.999999", "2026-11-21", "2026-11-22"),
        ("day", "UTC", "2026-11-22T00:00:00", "2026-11-22", "2026-11-23"),
        ("day", "Europe/Berlin", "2026-11-21T00:30:00", "2026-11-21", "2026-11-22"),
        ("month", "UTC", "2028-02-29T12:00:00", "2028-02-01", "2028-03-01"),
        ("month", "UTC", "2027-02-28T23:00:00", "2027-02-01", "2027-03-01"),
        ("month", "Asia/Tokyo", "2026-12-31T23:59:59", "2026-12-01", "2027-01-01"),
        ("month", "Asia/Tokyo", "2027-01-01T00:00:00", "2027-01-01", "2027-02-01"),
        ("week", "UTC", "2027-01-01T12:00:00", "2026-12-28", "2027-01-04"),
        ("week", "America/New_York", "2026-11-01T12:00:00", "2026-10-26", "2026-11-02"),
        ("day", "Asia/Kathmandu", "2026-05-05T05:05:05", "2026-05-05", "2026-05-06"),
    ],
)
def test_D6_edges_of_months_leap_days_and_years(window: Window, zone: str, at: str, start: str, end: str) -> None:
    where = read_zone(zone)
    assert start_of(window, micros(at, zone), where) == micros(start, zone)
    assert end_of(window, micros(at, zone), where) == micros(end, zone)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", "2026-03-29", 23),
        ("Europe/Berlin", "2026-10-25", 25),
        ("America/New_York", "2026-03-08", 23),
        ("Australia/Lord_Howe", "2026-04-05", 24.5),
        ("Africa/Cairo", "2026-04-24", 23),  # midnight itself is skipped
        ("America/Havana", "2026-11-01", 25),  # midnight comes twice
        ("Atlantic/Azores", "2026-03-29", 23),
    ],
)
def test_D6_days_of_summer_time_are_shorter_or_longer(zone: str, day: str, hours: float) -> None:
    where = read_zone(zone)
    noon = micros(f"{day}T12:00:00", zone)
    start, end = start_of("day", noon, where), end_of("day", noon, where)
    assert end is not None
    assert end - start == hours * HOUR
    for at in (start, noon, end - 1):
        assert start_of("day", at, where) == start
    assert start_of("day", start - 1, where) < start
    assert start_of("day", end, where) == end


@given(st.sampled_from(ZONES), st.sampled_from(("day", "week", "month")), st.integers(1_700_000_000, 2_200_000_000))
def test_D6_windows_follow_each_other_without_a_gap(zone: str, window: Window, seconds: int) -> None:
    where, at = read_zone(zone), seconds * 10**6 + 999_999
    start, end = start_of(window, at, where), end_of(window, at, where)
    assert end is not None
    assert start <= at < end
    assert start_of(window, end, where) == end
    assert start_of(window, end - 1, where) == start
    local = datetime.fromtimestamp(start // 10**6, where)
    assert (local.hour, local.minute) in ((0, 0), (1, 0))
    assert window != "month" or local.day == 1
    assert window != "week" or local.weekday() == 0


def test_a_total_has_no_end() -> None:
    assert (start_of("total", 10**15, ZoneInfo("Asia/Tokyo")), end_of("total", 10**15)) == (0, None)


def test_an_unknown_zone_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="Europe/Atlantis"):
        read_zone("Europe/Atlantis")
    for wrong in ("Europe/Atlantis", "../../etc/passwd", ""):
        with pytest.raises(ValueError, match="time zone"):
            LimitSettings(zone=wrong)
    assert Settings().limits.zone == "UTC"


# ---------------------------------------------------------------- in the database

EVENING = micros("2026-11-30T23:30:00")
"""In Berlin it is December already."""


async def booked(database: Database, zone: str, *, at: int = EVENING, calls: int = 1) -> Ledger:
    """A ledger in the zone, closed again, with calls that came to 4,200,000 nano-USD and 1,000 tokens each."""
    ledger = Ledger(database, replica="r", clock=Clock(at), zone=read_zone(zone))
    await ledger.start()
    for _ in range(calls):
        one = attempted(at=at)
        await ledger.intend(one)
        await ledger.settle(final(one))
    await ledger.close()
    return ledger


async def standing(database: Database, window: Window, start: str, zone: str = "UTC") -> Settled:
    span = Span("key:12", "", window, micros(start, zone))
    return (await ledger_reader(database)([span]))[span]


async def test_D6_entries_count_in_the_windows_of_the_zone(database: Database) -> None:
    await booked(database, "Europe/Berlin")
    assert await standing(database, "month", "2026-12-01", "Europe/Berlin") == Settled(4_200_000, 1_000)
    assert await standing(database, "day", "2026-12-01", "Europe/Berlin") == Settled(4_200_000, 1_000)
    assert await standing(database, "month", "2026-11-01") == Settled()
    assert await database.read(partial(violations, now=EVENING, lease=10**7)) == []


async def test_D6_another_zone_makes_the_windows_anew_from_the_entries(database: Database) -> None:
    await booked(database, "UTC", calls=2)
    assert await standing(database, "month", "2026-11-01") == Settled(8_400_000, 2_000)
    await booked(database, "Europe/Berlin", calls=1)
    assert await standing(database, "month", "2026-12-01", "Europe/Berlin") == Settled(12_600_000, 3_000)
    assert await standing(database, "month", "2026-11-01") == Settled()
    assert await database.read(partial(violations, now=EVENING, lease=10**7)) == []
    starts = await database.read(lambda c: set(c.execute(select(budget_windows.c.start)).scalars()))
    assert micros("2026-12-01", "Europe/Berlin") in starts


async def test_D6_while_another_replica_lives_the_zone_stays(database: Database) -> None:
    if database.kind == "sqlite":
        pytest.skip("SQLite is one server")
    await booked(database, "UTC")

    def join(connection: Connection) -> None:
        connection.execute(insert(leases).values(replica="other", until=2**62))

    await database.write(join)
    ledger = await booked(database, "Asia/Tokyo")
    assert ledger.zone is UTC
    assert await standing(database, "month", "2026-11-01") == Settled(8_400_000, 2_000)
    assert await database.read(zone_of) is UTC


async def test_D6_windows_go_by_the_databases_clock(database: Database) -> None:
    """A replica whose clock is a day behind books in the window that the others are in."""
    if database.kind == "sqlite":
        pytest.skip("SQLite has no clock but ours")
    real = Ledger(database, replica="r")
    late = Ledger(database, replica="s", clock=lambda: real.now() - 24 * HOUR)
    await late.start()
    try:
        assert abs(late.now() - real.now()) < 60 * 10**6
    finally:
        await late.close()


def test_every_window_is_known() -> None:
    assert WINDOWS == ("day", "week", "month", "total")
