"""Changes of alerts, from senders whose message of the end does not contain the start."""

from dataclasses import dataclass
from datetime import datetime

from core.checks import require_name, require_text, require_utc
from core.domain import Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertChange:
    """An alert of a service started to fire or ended; with a start and an end it is an incident.

    Attributes:
        type: the name of the alert; changes with the same service and type belong together.
        at: when it started to fire, or ended.
        firing: it fires since `at`; false: it ended then.
    """

    tenant: str
    service: str
    type: str
    severity: Severity
    at: datetime
    firing: bool

    def __post_init__(self) -> None:
        require_name(self.service, "service")
        require_text(self.type, "type")
        require_utc(self.at, "at")
