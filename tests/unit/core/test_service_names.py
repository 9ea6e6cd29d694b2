"""One rule for all sources: the same labels give the same service, whoever sends them."""

from datetime import UTC, datetime

import pytest
from fakes.remote_write import compressed, time_series
from hypothesis import given
from hypothesis import strategies as st

from core.service_names import SERVICE_LABELS, ServiceRule
from pipelines.sources.raw_series import series_of_labels
from pipelines.sources.remote_write import RemoteWriteReceiver
from pipelines.sources.webhook_formats.registered import parse_webhook
from pipelines.sources.webhook_formats.webhook_format import Webhook

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SPELLINGS = ("service.name", "app.kubernetes.io/name", *SERVICE_LABELS, "pod", "severity", "namespace")
NAMES = st.sampled_from(["checkout", "cart", " cart ", "orders-db", "größe", "", " "])
LABELS = st.dictionaries(st.sampled_from(SPELLINGS), NAMES)
ORDERS = st.sampled_from([SERVICE_LABELS, ("job", "service"), ("team",), tuple(reversed(SERVICE_LABELS))])
AT = NOON.isoformat()


def services_by_source(labels: dict[str, str], rule: ServiceRule) -> dict[str, str | None]:
    """The service that each source derives; null where it refuses the input because no label names a service."""
    pulled = series_of_labels("t", "up", labels, counter=False, step_s=60, services=rule)
    receiver = RemoteWriteReceiver("t", rule)
    request = receiver.decode(compressed(time_series({"__name__": "up", **labels}, [(0, 1.0)])))
    written = receiver.batch(request, {}).series[0]
    alert = parse_webhook(
        Webhook.ALERTS, {"alerts": [{"status": "firing", "labels": labels, "startsAt": AT}]}, "t", rule
    )
    plain = parse_webhook(Webhook.DEPLOYS, {**labels, "at": AT}, "t", rule)
    github = parse_webhook(
        Webhook.DEPLOYS,
        {
            "deployment": {"ref": "v1", "created_at": AT, "payload": labels},
            "repository": {"name": "unknown"},
        },
        "t",
        rule,
    )
    return {
        "pull": pulled.service,
        "remote_write": written.service,
        "alert": alert.incidents[0].service if alert.incidents else None,
        "deploy": plain.events[0].service if plain.events else None,
        "github": github.events[0].service if github.events else None,
    }


@given(LABELS, ORDERS)
def test_all_sources_derive_the_same_service_from_the_same_labels(
    labels: dict[str, str], order: tuple[str, ...]
) -> None:
    rule = ServiceRule(order)
    found = services_by_source(labels, rule)
    expected = rule.service_of(labels)
    if expected is None:  # metrics without a service are kept; an alert or a deploy without one has no use
        assert found == {
            "pull": "unknown",
            "remote_write": "unknown",
            "alert": None,
            "deploy": None,
            "github": "unknown",
        }
    else:
        assert set(found.values()) == {expected}


@given(LABELS)
def test_the_order_of_the_labels_does_not_matter(labels: dict[str, str]) -> None:
    backwards = dict(reversed(labels.items()))
    assert ServiceRule().service_of(labels) == ServiceRule().service_of(backwards)


@pytest.mark.parametrize(
    ("labels", "service"),
    [
        ({"service": "http", "service_name": "checkout"}, "checkout"),
        ({"service": "checkout", "app": "shop", "job": "pods"}, "checkout"),
        ({"app_kubernetes_io_name": "checkout", "app": "shop"}, "checkout"),
        ({"app": "checkout", "job": "pods"}, "checkout"),
        ({"job": "node", "instance": "a:9100"}, "node"),
        ({"instance": "a:9100"}, "a:9100"),
        ({"pod": "checkout-1"}, None),
        ({}, None),
    ],
)
def test_the_most_important_label_counts(labels: dict[str, str], service: str | None) -> None:
    assert ServiceRule().service_of(labels) == service
