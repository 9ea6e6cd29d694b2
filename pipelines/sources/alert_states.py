"""Which alerts fire now, for sources that show only the present: the changes since the last pull.

The cursor holds the alerts that fired then. An alert that fires and ends between two pulls is not seen.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime

from core.alert_changes import AlertChange
from core.domain import Severity

#: Service and name of an alert.
Key = tuple[str, str]


def changes_since(
    cursor: str | None,
    firing: Iterable[AlertChange],
    *,
    ended_at: Mapping[Key, datetime],
    undecided: frozenset[Key] = frozenset(),
    tenant: str,
    now: datetime,
) -> tuple[tuple[AlertChange, ...], str]:
    """The starts and ends since the last pull, and the next cursor.

    Args:
        firing: the alerts that fire now; of several with one name and service the earliest counts.
        ended_at: when alerts ended that do not fire now, where that is known; else they ended `now`.
        undecided: alerts of which nothing is known now; they stay as they were.
    """
    now_firing: dict[Key, AlertChange] = {}
    for change in sorted(firing, key=lambda one: one.at, reverse=True):
        now_firing[change.service, change.type] = change
    before = {} if cursor is None else {(one.service, one.type): one for one in _parse(cursor, tenant)}
    for key in undecided & before.keys():
        now_firing.setdefault(key, before[key])
    started = [change for key, change in now_firing.items() if key not in before]
    ended = [
        AlertChange(
            tenant=tenant,
            service=one.service,
            type=one.type,
            severity=one.severity,
            at=max(one.at, ended_at.get(key, now)),
            firing=False,
        )
        for key, one in before.items()
        if key not in now_firing
    ]
    kept = [before.get(key, change) for key, change in now_firing.items()]
    held = [[one.service, one.type, one.severity, one.at.isoformat()] for one in kept]
    return (*ended, *started), json.dumps({"firing": sorted(held)})


def _parse(cursor: str, tenant: str) -> list[AlertChange]:
    return [
        AlertChange(
            tenant=tenant,
            service=service,
            type=name,
            severity=Severity(severity),
            at=datetime.fromisoformat(at),
            firing=True,
        )
        for service, name, severity, at in json.loads(cursor)["firing"]
    ]
