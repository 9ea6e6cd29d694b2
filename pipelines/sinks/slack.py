"""Sends alerts to a Slack channel, through an incoming webhook. The URL of the webhook is a secret.

References:
    https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks/
"""

from collections.abc import Sequence
from datetime import datetime

from pydantic import SecretStr

from core.alerts import Alert
from core.clock import Clock
from core.domain import Severity
from core.json_text import json_text
from models.words.one_line import describe
from models.words.page import reasons
from pipelines.sinks.alerts import Links, SinkSetup
from pipelines.sinks.posting import Receiver

_SIGNS = {Severity.INFO: ":blue_heart:", Severity.WARNING: ":warning:", Severity.CRITICAL: ":rotating_light:"}
_ENDED = ":white_check_mark:"
#: Slack's limits are 50 blocks in a message and 3,000 characters in the text of a section. An alert has three blocks.
_ALERTS_PER_MESSAGE = 16
_MAX_TEXT = 2_900


class SlackSink:
    """Implements `core.alerts.AlertSink`. Slack cannot drop repeats, so each alert shows its id."""

    name = "slack"

    def __init__(self, url: SecretStr, links: Links, clock: Clock) -> None:
        self._receiver = Receiver(self.name, url.get_secret_value(), clock)
        self._links = links
        self._clock = clock

    @classmethod
    def configured(cls, setup: SinkSetup) -> "SlackSink | None":
        """The sink of `FOREWARN_SLACK_WEBHOOK_URL`; null where it is not set."""
        url = setup.settings.slack_webhook_url
        return cls(url, setup.links, setup.clock) if url else None

    def send(self, alerts: Sequence[Alert]) -> None:
        now = self._clock.now()
        for start in range(0, len(alerts), _ALERTS_PER_MESSAGE):
            body = self._message(alerts[start : start + _ALERTS_PER_MESSAGE], now)
            self._receiver.post(json_text(body, indent=None).encode(), {"Content-Type": "application/json"})

    def keep_alive(self, alerts: Sequence[Alert]) -> None:
        """Does nothing: a message stays in the channel."""

    def _message(self, alerts: Sequence[Alert], now: datetime) -> dict[str, object]:
        return {
            "text": "\n".join(escape(describe(alert.about, now)) for alert in alerts)[:_MAX_TEXT],
            "blocks": [block for alert in alerts for block in self._blocks(alert, now)],
        }

    def _blocks(self, alert: Alert, now: datetime) -> list[dict[str, object]]:
        about = alert.about
        sign = _SIGNS[about.severity] if about.ended_at is None else _ENDED
        lines = [f"{sign} *{escape(describe(about, now))}*"]
        lines += [f"• {escape(reason)}" for reason in reasons(about)]
        links = [f"<{self._links.signal(about)}|look closer>"]
        if runbook := self._links.runbook(about):
            links.append(f"<{runbook}|runbook>")
        return [
            {"type": "section", "text": {"type": "mrkdwn", "text": "\n".join(lines)[:_MAX_TEXT]}},
            {
                "type": "context",
                "elements": [{"type": "mrkdwn", "text": " · ".join([*links, f"`{alert.alert_id}`"])}],
            },
            {"type": "divider"},
        ]


def escape(text: str) -> str:
    """Escape Slack's three control characters: a service named `<!channel>` must not notify the channel."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
