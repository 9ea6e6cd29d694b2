"""The webhook formats that Forewarn reads."""

from collections.abc import Sequence

from core.batch import Batch
from core.errors import InputError
from core.service_names import ServiceRule
from pipelines.sources.webhook_formats.alertmanager import ALERTMANAGER
from pipelines.sources.webhook_formats.github import GITHUB
from pipelines.sources.webhook_formats.plain import PLAIN
from pipelines.sources.webhook_formats.webhook_format import Webhook, WebhookFormat

#: The first format that matches a body reads it. To add a format, write its file and add one line here.
FORMATS: Sequence[WebhookFormat] = (
    GITHUB,
    ALERTMANAGER,
    PLAIN,  # matches any JSON object, so it comes last
)


def parse_webhook(webhook: Webhook, body: object, tenant: str, services: ServiceRule | None = None) -> Batch:
    """The events and incidents in the JSON body of one webhook.

    Args:
        services: derives the service from labels; null: the usual labels.

    Raises:
        InputError: the body has none of the formats of this webhook.
    """
    formats = [one for one in FORMATS if one.webhook is webhook]
    for one in formats:
        if one.matches(body):
            return one.parse(body, tenant, services or ServiceRule())
    expected = ", or ".join(one.expects for one in formats)
    raise InputError(f"the body of a webhook for {webhook} must be {expected}")
