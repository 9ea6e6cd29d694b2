"""Durations, as seconds and as time spans."""

from datetime import timedelta

MINUTE_S = 60
HOUR_S = 60 * MINUTE_S
DAY_S = 24 * HOUR_S
WEEK_S = 7 * DAY_S

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
