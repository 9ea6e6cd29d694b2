"""Pulls which alerts of Grafana fire, from its API that has the form of Alertmanager's.

Services and names are those of its webhook. An alert that Forewarn itself has sent is left out, because a model must
not learn from its own predictions.

References:
    https://grafana.com/docs/grafana/latest/developers/http_api/alerting/
    https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml (gettableAlerts)
"""

from collections.abc import Iterator

import httpx

from core.alert_changes import AlertChange
from core.batch import Batch
from core.clock import Clock
from core.domain import Incident
from core.errors import InputError, UnavailableError
from core.ports import MetricSource
from core.service_names import ServiceRule
from pipelines.common.http_retry import HttpRetry, RetryPolicy, body_text
from pipelines.sources.alert_states import changes_since
from pipelines.sources.source_setup import SourceSetup
from pipelines.sources.webhook_formats.alertmanager import ALERTMANAGER

_PATH = "/api/alertmanager/grafana/api/v2/alerts"
_TIMEOUT_S = 30.0
_POLICY = RetryPolicy(waits_s=(0.5, 1.0, 2.0), patience_s=60.0, repeatable=True)


class GrafanaAlerts:
    """The alerts that fire in one Grafana (`core.ports.MetricSource`).

    Args:
        url: base address of Grafana.
        token: of a service account that may read alerts.
        transport: for tests; null: the network.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        tenant: str,
        clock: Clock,
        services: ServiceRule | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        try:
            parsed = httpx.URL(url.rstrip("/"))
        except httpx.InvalidURL:
            parsed = httpx.URL()
        if parsed.scheme not in {"http", "https"} or not parsed.host:
            raise InputError("FOREWARN_GRAFANA_URL: should be an address such as https://grafana.example.com")
        self._place = str(parsed.copy_with(username=None, password=None))
        self._token = token
        self._tenant = tenant
        self._clock = clock
        self._services = services or ServiceRule()
        self._transport = transport
        self._retry = HttpRetry(f"Grafana at {self._place}", _POLICY, secrets=(token,))

    @classmethod
    def configured(cls, setup: SourceSetup) -> MetricSource | None:
        """The Grafana that the settings name; null where they name none.

        Raises:
            InputError: the address is not valid.
        """
        settings = setup.settings
        if settings.grafana_url is None:
            return None
        return cls(
            settings.grafana_url,
            settings.grafana_token.get_secret_value() if settings.grafana_token else "",
            tenant=setup.tenant,
            clock=setup.clock,
            services=settings.service_rule,
        )

    @property
    def name(self) -> str:
        return f"grafana alerts:{self._place}"

    def batches(self, cursor: str | None) -> Iterator[Batch]:
        """The alerts that have started to fire, or ended, since the last pull.

        Raises:
            InputError: Grafana refuses the token.
            UnavailableError: Grafana does not answer.
        """
        firing = [_as_posted(one) for one in self._alerts()]
        batch = ALERTMANAGER.parse({"alerts": firing}, self._tenant, self._services)
        changes, held = changes_since(
            cursor,
            [_started(one) for one in batch.incidents],
            ended_at={},
            tenant=self._tenant,
            now=self._clock.now(),
        )
        yield Batch(alert_changes=changes, rejected=batch.rejected, cursor=held)

    def _alerts(self) -> list[object]:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        where = f"Grafana at {self._place}"
        try:
            with httpx.Client(
                base_url=self._place, headers=headers, timeout=_TIMEOUT_S, transport=self._transport
            ) as client:
                response = self._retry.send(lambda: client.get(_PATH))
        except httpx.TransportError as error:
            raise UnavailableError(f"{where} does not answer ({type(error).__name__})") from error
        status, reason = response.status_code, body_text(response, (self._token,))
        if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            raise InputError(f"{where} refuses FOREWARN_GRAFANA_TOKEN (HTTP {status}): {reason}")
        if status != httpx.codes.OK:
            raise UnavailableError(f"{where} answered HTTP {status}: {reason}")
        try:
            alerts = response.json()
        except ValueError:
            alerts = None
        if not isinstance(alerts, list):
            raise UnavailableError(f"{where} sent no list of alerts: {reason[:80]!r}")
        return alerts


def _as_posted(alert: object) -> object:
    """An alert in the form of the webhook, without its fields that change while it fires."""
    if not isinstance(alert, dict):
        return alert
    kept = {name: alert[name] for name in ("labels", "startsAt") if name in alert}
    return kept | {"status": "firing"}


def _started(incident: Incident) -> AlertChange:
    return AlertChange(
        tenant=incident.tenant,
        service=incident.service,
        type=incident.type,
        severity=incident.severity,
        at=incident.start,
        firing=True,
    )
