"""The event of a changed feature flag, which all formats of feature flags build."""

from collections.abc import Mapping
from datetime import datetime

from core.domain import Event, EventKind
from core.errors import InputError
from core.service_names import ServiceRule
from core.storable import name_problem

#: A flag that names no service may change the behaviour of any.
ANY_SERVICE = "*"
_MOST_CHARS = 2_000


def flag_change(
    flag: str, what: str, at: datetime, *, tenant: str, services: ServiceRule, labels: Mapping[str, str]
) -> Event:
    """A config change of the service that the labels of the flag name, else of all services.

    Args:
        what: was done to it, such as "enabled in production".
    Raises:
        InputError: the service that the labels name cannot be stored.
    """
    service = services.service_of(labels) or ANY_SERVICE
    problem = name_problem(service)
    if problem is not None:
        raise InputError(f"the service that the labels of the flag name {problem}")
    title = " ".join(f"flag {flag}: {what}".split())
    return Event(
        tenant=tenant, service=service, kind=EventKind.CONFIG_CHANGE, at=at, title=title[:_MOST_CHARS]
    )
