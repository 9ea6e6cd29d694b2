"""Signals as CloudEvents 1.0, in structured JSON, signed.

One signal is posted as `application/cloudevents+json`, several as `application/cloudevents-batch+json`.
`source` + `id` are the same for every delivery of the same state of a signal, so that a receiver can drop repeats: the
id is the signal's, with `-critical` when the signal is critical and with `-ended` when it has ended.

With a secret, `X-Forewarn-Signature` is `sha256=` and the hexadecimal HMAC-SHA256 of the body.

References:
    CloudEvents 1.0.2, JSON Event Format 1.0.2, HTTP Protocol Binding 1.0.2.
"""

import hashlib
import hmac
from collections.abc import Sequence

from pydantic import SecretStr, TypeAdapter

from core.clock import Clock
from core.domain import Severity, Signal
from core.json_text import json_text
from pipelines.common.deprecated import SentSignal
from pipelines.sinks.alerts import SinkSetup
from pipelines.sinks.posting import Receiver

SIGNATURE_HEADER = "X-Forewarn-Signature"
_SIGNAL = TypeAdapter[Signal](SentSignal)


class WebhookSink:
    """Implements `core.ports.SignalSink` for programs: it sends each signal, without grouping them by incident."""

    name = "webhook"

    def __init__(self, url: str, secret: SecretStr | None = None, clock: Clock | None = None) -> None:
        secrets = () if secret is None else (secret.get_secret_value(),)
        self._receiver = Receiver(self.name, url, clock, secrets)
        self._secret = secret

    @classmethod
    def configured(cls, setup: SinkSetup) -> "WebhookSink | None":
        """The sink of `FOREWARN_WEBHOOK_URL`; null where it is not set."""
        url = setup.settings.webhook_url
        return cls(url, setup.settings.webhook_secret, setup.clock) if url else None

    def send(self, signals: Sequence[Signal]) -> None:
        if not signals:
            return
        events = [cloud_event(signal) for signal in signals]
        if len(events) == 1:
            payload, media_type = json_text(events[0], indent=None), "application/cloudevents+json"
        else:
            payload, media_type = json_text(events, indent=None), "application/cloudevents-batch+json"
        body = payload.encode()
        headers = {"Content-Type": f"{media_type}; charset=UTF-8"}
        if self._secret is not None:
            headers[SIGNATURE_HEADER] = sign(body, self._secret)
        self._receiver.post(body, headers)


def cloud_event(signal: Signal) -> dict[str, object]:
    """The signal as a CloudEvent; `data` is the whole signal, for one release also with its old field names."""
    ended, critical = signal.ended_at is not None, signal.severity is Severity.CRITICAL
    return {
        "specversion": "1.0",
        "id": signal.signal_id + ("-ended" if ended else "-critical" if critical else ""),
        "source": f"/forewarn/{signal.tenant}",
        "type": f"io.forewarn.{signal.kind}." + ("ended" if ended else "raised"),
        "subject": signal.service + (f"/{signal.metric}" if signal.metric else ""),
        "time": (signal.ended_at or signal.started_at).isoformat(),
        "datacontenttype": "application/json",
        "data": _SIGNAL.dump_python(signal, mode="json"),
    }


def sign(body: bytes, secret: SecretStr) -> str:
    """The value of `X-Forewarn-Signature` for this body. Compare it with `hmac.compare_digest`."""
    return "sha256=" + hmac.new(secret.get_secret_value().encode(), body, hashlib.sha256).hexdigest()
