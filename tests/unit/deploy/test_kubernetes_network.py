"""Which pods may connect to what: the network policies of `deploy/kubernetes` open the needed flows and no others."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

import pytest
from deployed import ABSENT, BASE, EXAMPLE, changed, find, pod_template, selects
from kustomize import Manifest, pod_of

NAMESPACE = "forewarn"


@dataclass(frozen=True, slots=True)
class Place:
    """A pod, or an address outside the cluster (`namespace` is empty)."""

    name: str
    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    address: str = "10.0.0.9"
    ports: Mapping[str, int] = field(default_factory=dict)


OUTSIDE = (
    Place("ingress controller", "ingress-nginx"),
    Place("prometheus", "monitoring", {"app.kubernetes.io/name": "prometheus"}),
    Place("alertmanager", "monitoring", {"app.kubernetes.io/name": "alertmanager"}),
    Place("dns", "kube-system", {"k8s-app": "kube-dns"}),
    Place("pod of somebody else", "default", {"app.kubernetes.io/name": "forewarn"}),
    Place("database", address="10.1.2.3"),
    Place("internet", address="203.0.113.7"),
    Place("metadata of the cloud", address="169.254.169.254"),
)
PORTS = (53, 80, 443, 3000, 5000, 5432, 8080, 9090, 9093)
NEEDED = {
    ("ingress controller", "service", 3000),
    ("prometheus", "service", 3000),
    ("alertmanager", "service", 3000),
    *((pod, "mlflow", 5000) for pod in ("service", "watch", "training")),
    *((pod, "dns", 53) for pod in ("service", "watch", "training", "migrate", "mlflow")),
    ("watch", "prometheus", 9090),
}
#: The example sends alerts, too.
RECEIVERS = {("watch", "alertmanager", 9093), ("watch", "internet", 443)}
USES_THE_DATABASE = {"service", "watch", "training", "migrate"}


def flows(built: list[Manifest]) -> set[tuple[str, str, int]]:
    """Every (from, to, port) over TCP that the policies let through. Outside the namespace everything is open."""
    places = (*_pods(built), *OUTSIDE)
    policies = [one["spec"] for one in built if one["kind"] == "NetworkPolicy"]
    return {
        (source.name, target.name, port)
        for source in places
        for target in places
        for port in PORTS
        if NAMESPACE in (source.namespace, target.namespace)
        and source is not target
        and _lets(policies, "egress", "to", of=source, peer=target, port=port, target=target)
        and _lets(policies, "ingress", "from", of=target, peer=source, port=port, target=target)
    }


def _pods(built: list[Manifest]) -> Iterator[Place]:
    seen = set()
    for one in built:
        if (pod := pod_of(one)) is not None:
            labels = pod_template(one)["metadata"]["labels"]
            name = labels["app.kubernetes.io/component"]
            ports = {
                port["name"]: port["containerPort"]
                for container in pod["containers"]
                for port in container.get("ports", ())
            }
            if name not in seen:
                yield Place(name, NAMESPACE, labels, ports=ports)
            seen.add(name)


def _lets(
    policies: list[Manifest], direction: str, peers: str, *, of: Place, peer: Place, port: int, target: Place
) -> bool:
    if of.namespace != NAMESPACE:
        return True
    concerning = [
        policy
        for policy in policies
        if direction in [one.lower() for one in policy["policyTypes"]]
        and selects(policy["podSelector"], of.labels)
    ]
    return not concerning or any(
        _allows(rule, peers, peer, port, target)
        for policy in concerning
        for rule in policy.get(direction, ())
    )


def _allows(rule: Manifest, peers: str, peer: Place, port: int, target: Place) -> bool:
    ports = [
        target.ports.get(one["port"]) if isinstance(one["port"], str) else one["port"]
        for one in rule.get("ports", ())
        if one["protocol"] == "TCP"
    ]
    right_port = port in ports or "ports" not in rule
    return right_port and (peers not in rule or any(_is(peer, one) for one in rule[peers]))


def _is(place: Place, peer: Manifest) -> bool:
    if "ipBlock" in peer:
        block, address = peer["ipBlock"], ip_address(place.address)
        excepted = any(address in ip_network(one) for one in block.get("except", ()))
        return address in ip_network(block["cidr"]) and not excepted
    namespace = {"kubernetes.io/metadata.name": place.namespace}
    if "namespaceSelector" not in peer:
        in_namespace = place.namespace == NAMESPACE
    else:
        in_namespace = bool(place.namespace) and selects(peer["namespaceSelector"], namespace)
    return in_namespace and selects(peer.get("podSelector", {}), place.labels)


def _besides_the_database(found: set[tuple[str, str, int]]) -> set[tuple[str, str, int]]:
    return {flow for flow in found if flow[2] != 5432}


@pytest.mark.parametrize(
    ("built", "needed"), [(BASE, NEEDED), (EXAMPLE, NEEDED | RECEIVERS)], ids=["base", "example"]
)
def test_exactly_the_needed_flows_are_open(built: list[Manifest], needed: set[tuple[str, str, int]]) -> None:
    assert _besides_the_database(flows(built)) == needed


def test_only_what_uses_the_database_may_connect_to_it() -> None:
    """Its address is not in the manifests, so any address with its port is allowed, unless the target refuses."""
    to_the_port = {flow for flow in flows(EXAMPLE) if flow[2] == 5432}
    assert {source for source, _, _ in to_the_port} == USES_THE_DATABASE
    assert "mlflow" not in {target for _, target, _ in to_the_port}


def test_what_no_other_policy_names_is_closed() -> None:
    policy = find(BASE, "NetworkPolicy", "default-deny")
    assert policy["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_dns_is_open_over_udp_as_well() -> None:
    (rule,) = find(BASE, "NetworkPolicy", "dns")["spec"]["egress"]
    assert {"protocol": "UDP", "port": 53} in rule["ports"]


@pytest.mark.parametrize(
    ("policy", "changes"),
    [
        ("default-deny", {"spec/policyTypes": ["Egress"]}),
        ("default-deny", {"spec/podSelector": {"matchLabels": {"app.kubernetes.io/component": "service"}}}),
        ("service", {"spec/ingress/0/from": ABSENT}),
        ("service", {"spec/ingress/0/from/0/namespaceSelector": {}}),
        ("service", {"spec/ingress/0/ports": ABSENT}),
        ("mlflow", {"spec/ingress/0/from": ABSENT}),
        ("to-mlflow", {"spec/podSelector/matchExpressions/0/values": ["service"]}),
        ("prometheus", {"spec/egress/0/ports/0/port": 9091}),
        ("prometheus", {"spec/egress/0/to/0/podSelector": ABSENT}),
        ("dns", {"spec/egress/0/to": ABSENT}),
    ],
)
def test_a_policy_that_opens_or_closes_too_much_is_found(policy: str, changes: Mapping[str, object]) -> None:
    assert flows(changed(BASE, "NetworkPolicy", policy, changes)) != flows(BASE)
