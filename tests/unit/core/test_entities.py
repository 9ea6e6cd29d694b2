"""Which labels name the entity of a series."""

import pytest

from core.entities import entity_of, named_with_entity


@pytest.mark.parametrize(
    ("service", "labels", "entity"),
    [
        ("web1", {}, ""),
        ("web1", {"instance": "web1:9100"}, ""),
        ("web1", {"instance": "web1:9100", "mountpoint": "/var"}, "/var"),
        ("web1", {"instance": "web1:9100", "job": "node", "namespace": "monitoring"}, ""),
        ("postgres", {"instance": "db1:9187"}, "db1:9187"),
        ("postgres", {"instance": "db1:9187", "datname": "shop"}, "shop"),
        ("kafka", {"topic": "orders", "consumergroup": "billing"}, "billing orders"),
        ("blackbox", {"instance": "https://shop.example.com"}, "https://shop.example.com"),
        ("x", {"a": "1", "b": "2", "c": "3", "d": "4"}, "1 2 3"),
        ("x", {"a": "", "instance": ""}, ""),
    ],
)
def test_the_entity_is_what_the_labels_name_within_the_service(
    service: str, labels: dict[str, str], entity: str
) -> None:
    assert entity_of(service, labels) == entity
    assert named_with_entity(service, labels) == f"{service} {entity}".strip()
