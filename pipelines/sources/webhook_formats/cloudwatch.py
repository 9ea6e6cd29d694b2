"""Changes of alarms of CloudWatch, which Amazon SNS delivers.

The service is what the description of the alarm names (`service=checkout severity=critical`), else what a dimension
names (`ServiceName`, `QueueName`, ...). The message of an end does not contain the start, so both are matched by
service and name of the alarm.

SNS confirms a subscription by a URL in a message. With topics in the settings, `serving.http.sns` verifies each message
and confirms subscriptions to these topics. Without, Forewarn opens no URL of a message: the confirmation becomes a dead
letter, and a person opens the URL or runs `aws sns confirm-subscription` with its token.

References:
    https://docs.aws.amazon.com/sns/latest/dg/http-subscription-confirmation-json.html
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/AlarmThatSendsEmail.html
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from pydantic import BaseModel, Field

from core.alert_changes import AlertChange
from core.batch import Batch
from core.errors import InputError
from core.service_names import ServiceRule
from core.storable import name_problem
from pipelines.sources.aws_dimensions import service_dimension
from pipelines.sources.webhook_formats.entries import Time, Title, parse_entries
from pipelines.sources.webhook_formats.severities import severity_of
from pipelines.sources.webhook_formats.tags import labels_of
from pipelines.sources.webhook_formats.webhook_format import Webhook, WebhookFormat

FIRES, ENDS = "ALARM", "OK"
_AMAZON = (".amazonaws.com", ".amazonaws.com.cn")


class _Dimension(BaseModel):
    name: str
    value: str


class _Trigger(BaseModel):
    dimensions: list[_Dimension] = Field([], validation_alias="Dimensions")


class _Alarm(BaseModel):
    name: Title = Field(validation_alias="AlarmName")
    state: str = Field(validation_alias="NewStateValue")
    at: Time = Field(validation_alias="StateChangeTime")
    description: str | None = Field(None, validation_alias="AlarmDescription")
    trigger: _Trigger | None = Field(None, validation_alias="Trigger")


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmState:
    """The state of an alarm, however it arrived.

    Attributes:
        description: may contain `service=NAME` and `severity=WORD`.
        dimensions: of its metric.
        at: since when it has this state.
    """

    name: str
    description: str
    dimensions: Mapping[str, str]
    at: datetime
    firing: bool


class _Envelope(BaseModel):
    type: str = Field(validation_alias="Type")
    message: str = Field(validation_alias="Message")
    subscribe_url: str = Field("", validation_alias="SubscribeURL")


def _matches(body: object) -> bool:
    return isinstance(body, dict) and {"Type", "TopicArn", "Message"} <= body.keys()


def _parse(body: object, tenant: str, services: ServiceRule) -> Batch:
    changes, rejected = parse_entries([body], lambda entry: _change(entry, tenant, services))
    return Batch(alert_changes=changes, rejected=rejected)


def _change(entry: object, tenant: str, services: ServiceRule) -> AlertChange | None:
    """The change; null for an alarm that has too few data, and for the end of a subscription."""
    envelope = _Envelope.model_validate(entry)
    if envelope.type == "SubscriptionConfirmation":
        raise InputError(_confirmation(envelope.subscribe_url))
    if envelope.type != "Notification":
        return None
    try:
        message = json.loads(envelope.message)
    except (ValueError, RecursionError):
        raise InputError("Message: should be the JSON of an alarm of CloudWatch") from None
    alarm = _Alarm.model_validate(message)
    if alarm.state not in {FIRES, ENDS}:
        return None
    dimensions = {} if alarm.trigger is None else {one.name: one.value for one in alarm.trigger.dimensions}
    state = AlarmState(
        name=alarm.name,
        description=alarm.description or "",
        dimensions=dimensions,
        at=alarm.at,
        firing=alarm.state == FIRES,
    )
    return change_of(state, tenant, services)


def change_of(alarm: AlarmState, tenant: str, services: ServiceRule) -> AlertChange:
    """The change of an alarm.

    Raises:
        InputError: the alarm names no service, or one that cannot be stored.
    """
    described = labels_of(alarm.description.split(), "=")
    dimension = service_dimension(alarm.dimensions, services)
    service = services.service_of(described) or (dimension and alarm.dimensions[dimension].strip())
    if not service:
        raise InputError(
            f"alarm {alarm.name[:100]!r} names no service: add service=NAME to the description of the alarm"
        )
    problem = name_problem(service)
    if problem is not None:
        raise InputError(f"the service of an alarm {problem}")
    return AlertChange(
        tenant=tenant,
        service=service,
        type=alarm.name,
        severity=severity_of(described.get("severity", "")),
        at=alarm.at,
        firing=alarm.firing,
    )


def _confirmation(url: str) -> str:
    """What a person has to do about a subscription."""
    try:
        parts = urlsplit(url)
        of_amazon = parts.scheme == "https" and (parts.hostname or "").endswith(_AMAZON)
    except ValueError:
        of_amazon = False
    if not of_amazon:
        return "SubscribeURL: is no address of amazonaws.com; do not open it"
    return (
        "confirm the subscription: open its SubscribeURL, or run aws sns confirm-subscription with its Token"
    )


CLOUDWATCH = WebhookFormat(
    name="cloudwatch",
    webhook=Webhook.ALERTS,
    expects="a message of Amazon SNS with an alarm of CloudWatch",
    matches=_matches,
    parse=_parse,
)
