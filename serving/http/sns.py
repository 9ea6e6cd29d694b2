"""Webhooks of Amazon SNS: with topics in the settings, each message needs a valid signature of an allowed topic."""

from typing import cast

from starlette.responses import Response

from core.errors import ForewarnError
from pipelines.sources.sns_messages import CONFIRMATION, SnsVerifier
from pipelines.sources.webhook_formats.cloudwatch import CLOUDWATCH
from pipelines.sources.webhook_formats.registered import format_of
from pipelines.sources.webhook_formats.webhook_format import Webhook
from serving.contract.errors import response_to
from serving.contract.pushes import AlertsWebhook
from serving.contract.responses import WebhookResponse, respond
from serving.endpoints.route import Call
from serving.state.runtime import Runtime


async def admit_sns(runtime: Runtime, call: Call) -> Response | None:
    """Verify a message of SNS, away from the event loop, and confirm a subscription to an allowed topic.

    Returns:
        The response to a confirmation, or an error; null: the message goes on to its route.
    """
    verifier = runtime.sns
    if verifier is None or not isinstance(call.request, AlertsWebhook):
        return None
    body = call.request.root
    if format_of(Webhook.ALERTS, body) is not CLOUDWATCH:
        return None
    message = cast(dict[str, object], body)
    try:
        is_confirmation = await runtime.verifying.run(lambda: _take(verifier, message))
    except ForewarnError as error:
        return response_to(error)
    return respond(WebhookResponse(events=0, incidents=0, rejected=0)) if is_confirmation else None


def _take(verifier: SnsVerifier, message: dict[str, object]) -> bool:
    """Verify the message; whether it was a confirmation, which has been answered."""
    verifier.verify(message)
    if message.get("Type") != CONFIRMATION:
        return False
    verifier.confirm(message)
    return True
