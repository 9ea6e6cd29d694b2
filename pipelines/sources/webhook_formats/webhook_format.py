"""The port of webhook formats."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from core.batch import Batch
from core.service_names import ServiceRule


class Webhook(StrEnum):
    """The endpoints of the service that take webhooks: `/webhooks/<value>`."""

    DEPLOYS = "deploys"
    ALERTS = "alerts"


class Matches(Protocol):
    def __call__(self, body: object) -> bool:
        """Whether this body has the format; a look at its outer shape is enough."""
        ...


class Parse(Protocol):
    def __call__(self, body: object, tenant: str, services: ServiceRule) -> Batch:
        """The events and incidents of a body that matches; entries that are invalid are in `Batch.rejected`.

        Args:
            services: derives the service from the labels of an entry.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookFormat:
    """The format of one sender.

    Attributes:
        webhook: the endpoint that takes it.
        expects: what a body must be, for the error text: "a JSON object with ...".
    """

    name: str
    webhook: Webhook
    expects: str
    matches: Matches
    parse: Parse
