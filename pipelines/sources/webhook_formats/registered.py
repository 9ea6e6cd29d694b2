"""The webhook formats that Forewarn reads."""

from collections.abc import Sequence

from core.batch import Batch
from core.errors import InputError
from core.service_names import ServiceRule
from pipelines.sources.webhook_formats.alertmanager import ALERTMANAGER
from pipelines.sources.webhook_formats.argo_cd import ARGO_CD
from pipelines.sources.webhook_formats.azure_monitor import AZURE_MONITOR
from pipelines.sources.webhook_formats.cloudwatch import CLOUDWATCH
from pipelines.sources.webhook_formats.datadog import DATADOG
from pipelines.sources.webhook_formats.feature_flag import FEATURE_FLAG
from pipelines.sources.webhook_formats.flagsmith import FLAGSMITH
from pipelines.sources.webhook_formats.flux import FLUX
from pipelines.sources.webhook_formats.github import GITHUB
from pipelines.sources.webhook_formats.gitlab import GITLAB
from pipelines.sources.webhook_formats.grafana import GRAFANA
from pipelines.sources.webhook_formats.kubernetes import KUBERNETES, KUBERNETES_DEPLOYS
from pipelines.sources.webhook_formats.launchdarkly import LAUNCHDARKLY
from pipelines.sources.webhook_formats.opsgenie import OPSGENIE
from pipelines.sources.webhook_formats.pagerduty import PAGERDUTY
from pipelines.sources.webhook_formats.plain import PLAIN
from pipelines.sources.webhook_formats.splunk_on_call import SPLUNK_ON_CALL
from pipelines.sources.webhook_formats.unleash import UNLEASH
from pipelines.sources.webhook_formats.webhook_format import Webhook, WebhookFormat

#: The first format that matches a body reads it. To add a format, write its file and add one line here.
FORMATS: Sequence[WebhookFormat] = (
    GITHUB,
    GITLAB,
    ARGO_CD,
    FLUX,
    LAUNCHDARKLY,
    UNLEASH,
    FLAGSMITH,
    KUBERNETES_DEPLOYS,
    FEATURE_FLAG,
    KUBERNETES,
    PAGERDUTY,
    OPSGENIE,
    DATADOG,
    CLOUDWATCH,
    AZURE_MONITOR,
    SPLUNK_ON_CALL,
    GRAFANA,  # has the form of Alertmanager, and more
    ALERTMANAGER,
    PLAIN,  # matches any JSON object, so it comes last
)


def format_of(webhook: Webhook, body: object) -> WebhookFormat | None:
    """The format that reads this JSON body; null: none does."""
    return next((one for one in FORMATS if one.webhook is webhook and one.matches(body)), None)


def parse_webhook(
    webhook: Webhook,
    body: object,
    tenant: str,
    services: ServiceRule | None = None,
    mapped: Sequence[WebhookFormat] = (),
) -> Batch:
    """The events and incidents in the JSON body of one webhook.

    Args:
        services: derives the service from labels; null: the usual labels.
        mapped: formats that people have described; they come before the built-in ones.

    Raises:
        InputError: the body has none of the formats of this webhook.
    """
    described = (one for one in mapped if one.webhook is webhook and one.matches(body))
    found = next(described, None) or format_of(webhook, body)
    if found is not None:
        return found.parse(body, tenant, services or ServiceRule())
    expected = ", or ".join(one.expects for one in (*mapped, *FORMATS) if one.webhook is webhook)
    raise InputError(f"the body of a webhook for {webhook} must be {expected}")
