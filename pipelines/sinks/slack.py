"""Alerts into a Slack channel, by an incoming webhook whose URL is the secret.

References:
    https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks/
"""

import json
from collections.abc import Sequence
from datetime import datetime

from pydantic import SecretStr

from core.clock import Clock
from core.domain import Severity, Signal
from models.words.one_line import describe
from models.words.page import reasons
from pipelines.sinks.alerts import Links
from pipelines.sinks.posting import Receiver

_SIGNS = {Severity.INFO: ":blue_heart:", Severity.WARNING: ":warning:", Severity.CRITICAL: ":rotating_light:"}
_OVER = ":white_check_mark:"
#: Slack's own limits: 50 blocks a message, 3,000 characters in a section's text. An alert takes three blocks.
_ALERTS_A_MESSAGE = 16
_TEXT_AT_MOST = 2_900


class SlackSink:
    """Implements `AlertSink`. Slack cannot drop repeats: the id is written below each alert."""

    name = "slack"

    def __init__(self, url: SecretStr, links: Links, clock: Clock) -> None:
        self._receiver = Receiver(self.name, url.get_secret_value())
        self._links = links
        self._clock = clock

    def send(self, signals: Sequence[Signal]) -> None:
        now = self._clock.now()
        for start in range(0, len(signals), _ALERTS_A_MESSAGE):
            body = self._message(signals[start : start + _ALERTS_A_MESSAGE], now)
            self._receiver.post(json.dumps(body).encode(), {"Content-Type": "application/json"})

    def keep_alive(self, signals: Sequence[Signal]) -> None:
        """Nothing to do: a message stays."""

    def _message(self, signals: Sequence[Signal], now: datetime) -> dict[str, object]:
        return {
            "text": "\n".join(escape(describe(signal, now)) for signal in signals)[:_TEXT_AT_MOST],
            "blocks": [block for signal in signals for block in self._blocks(signal, now)],
        }

    def _blocks(self, signal: Signal, now: datetime) -> list[dict[str, object]]:
        sign = _SIGNS[signal.severity] if signal.ended_at is None else _OVER
        lines = [f"{sign} *{escape(describe(signal, now))}*"]
        lines += [f"• {escape(reason)}" for reason in reasons(signal)]
        links = [f"<{self._links.signal(signal)}|look closer>"]
        if runbook := self._links.runbook(signal):
            links.append(f"<{runbook}|runbook>")
        return [
            {"type": "section", "text": {"type": "mrkdwn", "text": "\n".join(lines)[:_TEXT_AT_MOST]}},
            {
                "type": "context",
                "elements": [{"type": "mrkdwn", "text": " · ".join([*links, f"`{signal.signal_id}`"])}],
            },
            {"type": "divider"},
        ]


def escape(text: str) -> str:
    """Slack's three control characters: a service called `<!channel>` must not call the channel."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
