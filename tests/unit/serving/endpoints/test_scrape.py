"""A tenant's scores in the exposition format, under vmanomaly's names."""

from datetime import timedelta

import pytest
from fakes.serving import NOW, FakeRegistry, fake_context
from prometheus_client.parser import text_string_to_metric_families

from core.domain import Band, Series
from serving.endpoints.scrape import band_score, tenant_metrics

LATENCY = Series(
    tenant="acme",
    service="checkout",
    metric="latency",
    labels={"host.name": 'a"b\\cd', "9": "x", "for": "me"},
)


def test_the_newest_value_of_each_series_is_shown_with_its_labels() -> None:
    rows = [(LATENCY.series_id, NOW - timedelta(minutes=m), v) for m, v in ((10, 9.0), (5, 1.0))]
    context, _, _ = fake_context([LATENCY], samples=rows)
    families = {f.name: f for f in text_string_to_metric_families(tenant_metrics(context).decode())}
    assert {name: family.samples[0].value for name, family in families.items()} == {
        "anomaly_score": 0.5,
        "yhat": 0.0,
        "yhat_lower": -1.0,
        "yhat_upper": 2.0,
    }
    assert families["yhat"].samples[0].labels == {
        "for": "latency",
        "service": "checkout",
        "host_name": 'a"b\\cd',
        "_9": "x",
    }


def test_without_a_model_there_is_nothing_to_show() -> None:
    context, _, _ = fake_context([LATENCY], registry=FakeRegistry())
    assert tenant_metrics(context) == b""


@pytest.mark.parametrize(("value", "score"), [(0.0, 0.0), (2.0, 1.0), (4.0, 2.0), (-1.0, 1.0), (-0.5, 0.5)])
def test_over_one_means_outside_the_band(value: float, score: float) -> None:
    assert band_score(value, Band(expected=0.0, lower=-1.0, upper=2.0)) == score


def test_a_band_without_width_gives_no_score() -> None:
    assert band_score(1.0, Band(expected=0.0, lower=0.0, upper=0.0)) is None
