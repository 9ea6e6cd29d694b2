"""Recipes computed from raw samples: each kind of term, and what a term without a value means."""

from collections.abc import Mapping
from math import inf, isnan, nan
from typing import Any

import numpy as np
import pytest

from core.domain import Direction, Role
from models.metrics.evaluate import Evaluator
from models.metrics.quantiles import quantile_of_buckets
from models.metrics.raw_samples import RawSamples
from models.metrics.recipe import Aggregate, Recipe, Scope, Term
from models.metrics.vector import Vector

#: Three times, a minute apart.
TIMES_MS = np.array([300_000, 360_000, 420_000], dtype=np.int64)


def computed(series: Mapping[tuple[str, ...], list[float]], **fields: Any) -> dict[str, list[float | None]]:
    """The values of a recipe; null: none.

    Args:
        series: name and labels as `name=value` -> gauges at the three times.
    """
    labels = [{"__name__": name, **dict(label.split("=") for label in rest)} for name, *rest in series]
    samples = RawSamples(
        labels,
        np.repeat(np.arange(len(labels)), 3),
        np.tile(TIMES_MS, len(labels)),
        np.array(list(series.values()), dtype=np.float64).reshape(-1),
    )
    recipe = Recipe(
        signal="s", about="", role=Role.SATURATION, unit="", direction=Direction.BOTH, scope=Scope.SERVICE, **fields
    )  # fmt: skip
    vector = Evaluator(samples=samples, times_ms=TIMES_MS, window_s=300).value(recipe)
    return {
        ",".join(value for _, value in key): [
            float(value) if is_present else None for value, is_present in zip(row, present, strict=True)
        ]
        for key, row, present in zip(vector.keys, vector.values, vector.present, strict=True)
    }


PODS: dict[tuple[str, ...], list[float]] = {
    ("depth", "job=a", "pod=1"): [1.0, 2.0, 3.0],
    ("depth", "job=a", "pod=2"): [5.0, 0.0, 9.0],
    ("depth", "job=b", "pod=1"): [7.0, 7.0, 7.0],
}


@pytest.mark.parametrize(
    ("aggregate", "expected"),
    [
        (Aggregate.SUM, [6.0, 2.0, 12.0]),
        (Aggregate.MAX, [5.0, 2.0, 9.0]),
        (Aggregate.MIN, [1.0, 0.0, 3.0]),
        (Aggregate.AVG, [3.0, 1.0, 6.0]),
        (Aggregate.COUNT, [2.0, 2.0, 2.0]),
    ],
)
def test_series_of_a_service_become_one(aggregate: Aggregate, expected: list[float]) -> None:
    found = computed(PODS, formula="x", terms={"x": Term(metric="depth", aggregate=aggregate)})
    assert found["a"] == expected


def test_a_formula_has_a_value_where_all_of_its_terms_have_one() -> None:
    terms = {"x": Term(metric="depth"), "y": Term(metric="depth", where={"pod": "2"}, above=0.0)}
    found = computed(PODS, formula="x / y", terms=terms)
    assert found == {"a": [6 / 5, None, 12 / 9]}


def test_now_is_the_time_in_seconds() -> None:
    found = computed(PODS, formula="now - x", terms={"x": Term(metric="depth", where={"job": "b"})})
    assert found == {"b": [293.0, 353.0, 413.0]}


def test_window_is_the_seconds_of_the_window_of_rates() -> None:
    found = computed(
        PODS, formula="max(x, 6 * window / 60)", terms={"x": Term(metric="depth", where={"job": "b"})}
    )
    assert found == {"b": [30.0, 30.0, 30.0]}


def test_a_term_without_a_value_is_zero_where_another_has_one() -> None:
    terms = {"all": Term(metric="depth"), "bad": Term(metric="failed", else_zero_of="all")}
    found = computed({**PODS, ("failed", "job=a"): [3.0, 1.0, 6.0]}, formula="bad / all", terms=terms)
    assert found == {"a": [0.5, 0.5, 0.5], "b": [0.0, 0.0, 0.0]}


def test_entities_and_targets_can_be_left_out() -> None:
    series = {**PODS, ("readonly", "job=a"): [0.0, 1.0, 0.0], ("b_build_info", "job=b"): [1.0, 1.0, 1.0]}
    found = computed(
        series,
        formula="x",
        terms={"x": Term(metric="depth")},
        unless=Term(metric="readonly"),
        unlike=".+_build_info",
    )
    assert found["a"] == [6.0, None, 12.0]
    assert found["b"] == [None, None, None]


def quantile(quantile: float, **buckets: tuple[float, ...]) -> list[float]:
    """The quantile of one histogram; buckets are bound -> counts, NaN where there is none."""
    values = np.array(list(buckets.values()))
    keys = [(("le", bound),) for bound in buckets]
    vector = quantile_of_buckets(quantile, Vector(keys, values, ~np.isnan(values)))
    return [float(value) for value in vector.values[0]]


def test_a_quantile_is_interpolated_in_its_bucket() -> None:
    assert quantile(0.5, **{"1": (2.0,), "3": (6.0,), "+Inf": (8.0,)}) == [2.0]
    assert quantile(0.9, **{"1": (2.0,), "3": (6.0,), "+Inf": (8.0,)}) == [3.0]
    assert quantile(0.1, **{"-1": (2.0,), "3": (6.0,), "+Inf": (8.0,)}) == [-1.0]
    assert quantile(0.5, **{"1": (2.0,), "3": (1.0,), "+Inf": (4.0,)}) == [1.0], (
        "a larger bucket is not smaller"
    )
    assert quantile(0.5, **{"1": (1.0,), "1.0": (1.0,), "3": (6.0,), "+Inf": (8.0,)}) == [2.0]


def test_a_histogram_without_requests_or_without_an_end_has_no_quantile() -> None:
    assert isnan(quantile(0.5, **{"1": (0.0,), "+Inf": (0.0,)})[0])
    assert isnan(quantile(0.5, **{"1": (2.0,), "3": (6.0,)})[0])
    assert isnan(quantile(0.5, **{"+Inf": (6.0,)})[0])


def test_a_bucket_that_is_missing_at_a_time_is_no_bucket_then() -> None:
    found = quantile(
        0.5, **{"1": (2.0, 2.0), "3": (6.0, nan), "5": (6.0, 6.0), "+Inf": (8.0, 8.0), "x": (inf, inf)}
    )
    assert found == [2.0, 3.0]


#: How Prometheus marks the end of a series.
ENDED = float(np.array(0x7FF0000000000002, dtype=np.uint64).view(np.float64))


@pytest.mark.parametrize(
    ("pods", "has_rate"),
    [
        ({"1": [0.0, 60.0, 120.0]}, True),
        ({"1": [0.0, 60.0, ENDED]}, False),  # its exporter died: half of the window is empty
        ({"1": [0.0, 60.0, ENDED], "2": [0.0, 30.0, 60.0]}, True),  # a pod was replaced
        ({"1": [0.0, 60.0, ENDED], "2": [0.0, 30.0, ENDED]}, False),
    ],
)
def test_a_service_whose_series_have_all_ended_has_no_rate(
    pods: Mapping[str, list[float]], has_rate: bool
) -> None:
    found = computed(
        {("hits_total", "job=a", f"pod={pod}"): counts for pod, counts in pods.items()},
        formula="hits",
        terms={"hits": Term(metric="hits_total", rate=True)},
    )
    assert (found["a"][-1] is not None) is has_rate
    assert found["a"][1] is not None


@pytest.mark.parametrize(
    ("scrape_s", "window_s", "known"), [(600, 2400, 1.0), (300, 1200, 1.0), (600, 1200, 0.5)]
)
def test_targets_that_are_scraped_rarely_have_rates_between_their_scrapes(
    scrape_s: int, window_s: int, known: float
) -> None:
    """Their newest value is often older than the five minutes after which Prometheus sees none."""
    scrapes_ms = np.arange(0, 36_000, scrape_s) * 1000
    samples = RawSamples(
        [{"__name__": "hits_total", "job": "a"}],
        np.zeros(len(scrapes_ms), dtype=np.int64),
        scrapes_ms,
        scrapes_ms / 1000,
    )
    times_ms = np.arange(12_000, 24_000, 150) * 1000 + 1
    found = Evaluator(samples=samples, times_ms=times_ms, window_s=window_s).term(
        Term(metric="hits_total", rate=True), ["job"]
    )
    assert found.present.mean() == pytest.approx(known, abs=0.01)
    assert found.values[found.present] == pytest.approx(1.0)
