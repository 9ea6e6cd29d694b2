"""Recipes: what a file may say, what is wrong with a bad one, and which signals metrics of requests give."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.domain import Direction, Role, SeriesKind
from core.errors import InputError
from core.service_names import ServiceRule
from models.metrics.conventions import request_recipes
from models.metrics.evaluate import Evaluator
from models.metrics.parse_recipes import parse_exporter
from models.metrics.plain import plain_recipes, watched
from models.metrics.promql import query_of
from models.metrics.raw_samples import RawSamples
from models.metrics.recipe import Recipe, Term
from models.metrics.signal_series import Naming, hosts_of
from pipelines.sources.recipe_files import read_exporters

GOOD: dict[str, Any] = {
    "exporter": "demo",
    "prefixes": ["demo_"],
    "recipes": [
        {
            "signal": "demo_used_ratio",
            "about": "what is used",
            "role": "capacity",
            "unit": "ratio",
            "direction": "up_is_bad",
            "limit": 1,
            "by": ["volume"],
            "formula": "clamp(used / size)",
            "terms": {
                "used": {"metric": "demo_used", "where": {"kind": "data"}},
                "size": {"metric": "demo_size", "aggregate": "max", "above": 0},
            },
        }
    ],
}


def changed(**fields: Any) -> dict[str, Any]:
    return {**GOOD, "recipes": [{**GOOD["recipes"][0], **fields}]}


def test_a_recipe_becomes_one_query_that_keeps_service_and_entity() -> None:
    (recipe,) = parse_exporter(GOOD, "demo.yaml").recipes
    assert query_of(recipe, 300, service_labels=("job", "instance")) == (
        'clamp((sum by (job, instance, cluster, namespace, volume) (demo_used{kind="data"})'
        " / ((max by (job, instance, cluster, namespace, volume) (demo_size) > 0.0) != 0)), 0, 1)"
    )
    assert recipe.kind is SeriesKind.RATIO


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ([], "demo.yaml: the file"),
        (changed(role="speed"), "demo.yaml: recipes.0.role"),
        (changed(formula="used / sise"), "signal demo_used_ratio: the formula has no term sise"),
        (changed(formula="used %"), "is no formula"),
        (
            changed(terms={"used": {"metric": "a"}, "window": {"metric": "b"}}),
            "window cannot be the name of a term",
        ),
        (changed(limits=3), "recipes.0.limits"),
        (changed(quantile=1.5), "a quantile lies between 0 and 1"),
        (changed(terms={"used": {"metric": "two words"}}), "recipes.0.terms.used.metric"),
        (
            changed(terms={"used": {"metric": "a", "else_zero_of": "b"}, "size": {"metric": "c"}}),
            "term used: there is no term b",
        ),
    ],
)
def test_a_bad_file_is_refused_with_the_place_of_the_mistake(content: Any, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        parse_exporter(content, "demo.yaml")


def test_a_file_of_the_user_replaces_the_packaged_one_of_the_same_name(tmp_path: Path) -> None:
    packaged = {one.name: one for one in read_exporters()}
    (tmp_path / "redis_exporter.yaml").write_text(
        "exporter: redis_exporter\nprefixes: [redis_]\nrecipes: []\n"
    )
    own = {one.name: one for one in read_exporters(tmp_path)}
    assert own.keys() == packaged.keys()
    assert own["redis_exporter"].recipes == ()
    (tmp_path / "odd.yaml").write_text("exporter: [")
    with pytest.raises(InputError, match=r"odd\.yaml"):
        read_exporters(tmp_path)


def test_recipes_of_the_same_signal_are_for_different_metrics_or_entities() -> None:
    """Hosts have the same signals on Linux and Windows; an exporter may have other names in another version."""
    found = [
        (recipe.signal, recipe.scope, str(recipe.terms), *recipe.service, *recipe.by)
        for one in read_exporters()
        for recipe in one.recipes
    ]
    assert len(found) == len(set(found))


def test_any_histogram_of_requests_gives_traffic_errors_and_latency() -> None:
    names = [f"http_request_duration_seconds_{part}" for part in ("bucket", "sum", "count")]
    found = {one.signal: one for one in request_recipes(names, {names[2]: "code"})}
    assert list(found) == [
        "http_request_duration_p50_seconds",
        "http_request_duration_p90_seconds",
        "http_request_duration_p99_seconds",
        "http_requests_per_second",
        "http_request_error_ratio",
    ]
    assert [one.role for one in found.values()] == [Role.LATENCY] * 3 + [Role.TRAFFIC, Role.ERRORS]
    query = query_of(found["http_request_error_ratio"], 300, service_labels=("job", "instance"))
    assert 'code=~"5..|5xx|' in query
    assert "instance" not in query  # pods come and go


def test_a_counter_of_requests_counts_once_beside_its_histogram() -> None:
    histogram = [f"grpc_server_handling_seconds_{part}" for part in ("bucket", "sum", "count")]
    names = ["grpc_server_handled_total", "orders_total", *histogram]
    found = [one.signal for one in request_recipes(names, {"grpc_server_handled_total": "grpc_code"})]
    assert [name for name in found if not re.search(r"_p\d", name)] == [
        "grpc_server_requests_per_second",
        "grpc_server_request_error_ratio",
    ]
    assert "grpc_server_handling_p99_seconds" in found


@pytest.mark.parametrize(
    ("metric", "signal"),
    [
        ("http_requests_total", "http_requests_per_second"),
        ("django_http_responses_total_by_status", None),
        ("istio_requests_total", "istio_requests_per_second"),
        ("rpc_calls_total", "rpc_calls_per_second"),
    ],
)
def test_a_counter_with_results_gives_traffic_and_errors(metric: str, signal: str | None) -> None:
    found = [one.signal for one in request_recipes([metric], {metric: "code"})]
    assert found[:1] == ([] if signal is None else [signal])


def test_facts_and_moments_are_not_watched_and_other_metrics_are_added_up_by_service() -> None:
    names = [
        "app_build_info",
        "orders_total",
        "queue_depth",
        "cache_hit_ratio",
        "job_last_success_timestamp_seconds",
    ]
    ratio, orders, queue = plain_recipes(watched(names), {})
    assert (orders.unit, orders.terms["value"].rate) == ("1/s", True)
    assert "sum by" in query_of(queue, 60)
    assert "max by" in query_of(ratio, 60)
    assert ratio.direction is Direction.DOWN_IS_BAD


@pytest.mark.parametrize(
    ("metric", "type_", "role", "direction"),
    [
        # A count has no latency, and a rate fills nothing.
        ("dns_response_codes_total", "counter", Role.SATURATION, Direction.BOTH),
        ("swap_ins_total", "counter", Role.SATURATION, Direction.BOTH),
        ("response_seconds_total", "counter", Role.LATENCY, Direction.UP_IS_BAD),
        ("query_errors_total", "counter", Role.ERRORS, Direction.UP_IS_BAD),
        ("mailer_up", "gauge", Role.ERRORS, Direction.DOWN_IS_BAD),
        ("agent_alive", "gauge", Role.ERRORS, Direction.DOWN_IS_BAD),
        ("group_response_seconds", "gauge", Role.LATENCY, Direction.UP_IS_BAD),
        ("startup_slots", "gauge", Role.SATURATION, Direction.BOTH),
    ],
)
def test_the_role_of_a_metric_without_a_recipe_fits_what_it_measures(
    metric: str, type_: str, role: Role, direction: Direction
) -> None:
    (recipe,) = plain_recipes([metric], {metric: type_})
    assert (recipe.role, recipe.direction) == (role, direction)


def test_the_state_of_a_service_is_that_of_its_worst_instance() -> None:
    (recipe,) = plain_recipes(["mailer_up"], {})
    assert query_of(recipe, 60).startswith("min by")


@pytest.mark.parametrize(
    ("metric", "moment"),
    [("boot_time_seconds", 1.7e9), ("last_push_ms", 1.7e12), ("job_x_finish_unixtime", 1.7e9)],
)
def test_a_moment_is_no_value_to_watch_and_a_duration_is(metric: str, moment: float) -> None:
    (recipe,) = plain_recipes([metric], {})
    labels = [{"__name__": metric, "job": job} for job in ("a", "b")]
    samples = RawSamples(labels, np.array([0, 1]), np.array([1_000, 1_000]), np.array([moment, 12.0]))
    evaluator = Evaluator(samples=samples, times_ms=np.array([2_000]), window_s=60, service_labels=("job",))
    vector = evaluator.value(recipe)
    found = {dict(key)["job"]: bool(one.all()) for key, one in zip(vector.keys, vector.present, strict=True)}
    assert found == {"a": False, "b": True}
    assert " < " in query_of(recipe, 60)


@pytest.mark.parametrize(
    ("ends", "kept"),
    [
        ((5, 50, 95), 0),
        ((50, 90, 99), 0),
        ((1, 2, 3), 3),  # numbers of things
        ((50, 95), 2),
        ((8080, 8090, 8095), 3),
    ],
)
def test_metrics_of_the_percentiles_of_a_distribution_are_left_out(ends: tuple[int, ...], kept: int) -> None:
    assert len(watched(f"proxy_lookups_{end}" for end in ends)) == kept


def naming(hosts: list[dict[str, str]]) -> Naming:
    return Naming(tenant="t", step_s=60, services=ServiceRule(), hosts=hosts_of(hosts))


RECIPE = Recipe(
    signal="up", about="", role=Role.ERRORS, unit="", direction=Direction.DOWN_IS_BAD,
    formula="up", terms={"up": Term(metric="up")},
)  # fmt: skip


@pytest.mark.parametrize(
    ("labels", "name"),
    [
        ({"job": "node", "instance": "web1:9100"}, "web1/up{instance=web1:9100}"),
        ({"job": "node", "instance": "web2:9100"}, "web2/up{instance=web2:9100}"),
        ({"job": "postgres", "instance": "db1:9187"}, "postgres/up{instance=db1:9187}"),
        ({"job": "x", "app": "shop", "instance": "10.0.0.1:80"}, "shop/up{instance=10.0.0.1:80,job=x}"),
        ({}, "unknown/up"),
    ],
)
def test_a_job_never_merges_hosts(labels: dict[str, str], name: str) -> None:
    hosts = [{"job": "node", "instance": f"web{n}:9100"} for n in (1, 2)]
    assert naming(hosts).series(RECIPE, labels).name == name


def test_a_host_known_by_its_address_gets_the_name_that_it_tells() -> None:
    hosts = [
        {"job": "node", "instance": "10.0.0.3:9100"},
        {"job": "node", "instance": "10.0.0.3:9100", "nodename": "db1"},
        {"job": "node", "instance": "[fe80::1]:9100"},
    ]
    assert hosts_of(hosts) == {("node", "10.0.0.3:9100"): "db1", ("node", "[fe80::1]:9100"): "fe80::1"}


def test_a_recipe_may_say_which_label_names_the_service() -> None:
    recipe = replace(RECIPE, signal="kube_ready", service=("deployment",))
    labels = {"job": "kube-state-metrics", "instance": "web1:9100", "namespace": "shop", "deployment": "cart"}
    assert naming([{"job": "kube-state-metrics", "instance": "web1:9100"}]).series(recipe, labels).name == (
        "cart/kube_ready{instance=web1:9100,namespace=shop}"
    )
    assert query_of(recipe, 60, service_labels=("job",)).startswith("sum by (deployment, job, cluster")
