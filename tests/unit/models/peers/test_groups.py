"""Which replicas are peers, and by which signals they are compared."""

import pytest
from fakes.recipes import recipe_of

from core.domain import Series
from core.errors import InputError
from models.metrics.conventions import request_recipes
from models.peers.groups import peer_group
from pipelines.sources.recipe_files import read_exporters


def group(service: str, by: tuple[str, ...] = (), *, is_host: bool = False, **labels: str) -> tuple[str, ...]:
    recipe = recipe_of("cpu", "cores", by=by)
    series = Series(tenant="acme", service=service, metric="cpu", labels=labels)
    return peer_group(recipe, series, labels, is_host=is_host)


def test_pods_of_one_replica_set_are_peers_and_a_canary_or_a_new_version_is_none() -> None:
    first = group("shop", pod="shop-5d4f8c7b9-aaaaa", namespace="web")
    assert first == group("shop", pod="shop-5d4f8c7b9-bbbbb", namespace="web")
    assert first != group("shop", pod="shop-6f7f8c7c1-aaaaa", namespace="web")
    assert first != group("shop", pod="shop-canary-5d4f8c7b9-aaaaa", namespace="web")
    assert first != group("shop", pod="shop-5d4f8c7b9-ccccc", namespace="staging")


def test_instances_of_one_service_are_peers() -> None:
    first = group("shop", instance="10.0.0.1:80", job="shop")
    assert first == group("shop", instance="10.0.0.2:80", job="shop")
    assert first != group("cart", instance="10.0.0.3:80", job="cart")


def test_hosts_of_one_pool_are_peers_and_so_are_all_their_disks() -> None:
    first = group("web1", is_host=True, job="node", instance="web1:9100")
    assert first == group("web2", is_host=True, job="node", instance="web2:9100")
    assert first != group("db1", is_host=True, job="node", instance="db1:9100")
    disks = [
        group(host, ("device",), is_host=True, device=disk) for host in ("s1", "s2") for disk in ("a", "b")
    ]
    assert len(set(disks)) == 1
    assert group("s1", ("queue",), queue="a") != group("s1", ("queue",), queue="b")


def test_the_most_telling_signals_of_exporters_and_requests_are_compared() -> None:
    of_requests = request_recipes(
        ["http_request_duration_seconds_bucket", "http_request_duration_seconds_count"],
        {"http_request_duration_seconds_count": "code"},
    )
    recipes = [*of_requests, *(one for exporter in read_exporters() for one in exporter.recipes)]
    assert {one.signal for one in recipes if one.peers} >= {
        "cpu_used_ratio",
        "container_memory_bytes",
        "process_memory_bytes",
        "http_requests_per_second",
        "http_request_error_ratio",
        "http_request_duration_p90_seconds",
    }


def test_a_unit_without_a_least_difference_cannot_be_compared() -> None:
    with pytest.raises(
        InputError, match="signal threads: replicas are compared by signals with one of the units"
    ):
        recipe_of("threads", "threads", peers=True)
