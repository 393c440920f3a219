"""Days and moments: epoch seconds, UTC."""

from __future__ import annotations

from datetime import UTC, date, datetime

DAY_S = 86_400


def utc_text(ts: int) -> str:
    """Epoch seconds as RFC 3339 text, UTC: `2026-01-31T08:00:00Z`."""
    return datetime.fromtimestamp(ts, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def day_start_ts(iso_day: str) -> int:
    """Epoch seconds of midnight UTC at the start of an ISO day (`2026-01-31`)."""
    day = date.fromisoformat(iso_day)
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
