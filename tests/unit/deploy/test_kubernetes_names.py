"""Whatever a manifest of `deploy/kubernetes` refers to exists. Each kind of reference finds one that leads nowhere."""

from collections.abc import Iterator
from typing import Any

import pytest
from deployed import BASE, EXAMPLE, changed, pod_template, selects
from kustomize import Manifest, containers_of, pod_of

#: What the people of the cluster make: the certificate of the address that people open.
FROM_ELSEWHERE = {"Secret forewarn-tls"}


def dangling(built: list[Manifest]) -> set[str]:
    """The references that lead nowhere."""
    known = {f"{one['kind']} {one['metadata']['name']}" for one in built}
    wanted = {reference for one in built for reference in _references(one)}
    return (
        (wanted - known - FROM_ELSEWHERE) | set(_selectors_without_pods(built)) | set(_unknown_ports(built))
    )


def _references(one: Manifest) -> Iterator[str]:
    """What a manifest names, as `Kind name`."""
    spec = one.get("spec", {})
    if (pod := pod_of(one)) is not None:
        yield f"ServiceAccount {pod['serviceAccountName']}"
        for volume in pod["volumes"]:
            if "persistentVolumeClaim" in volume:
                yield f"PersistentVolumeClaim {volume['persistentVolumeClaim']['claimName']}"
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in containers_of(pod):
            for source in container.get("envFrom", ()):
                for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
                    if field in source:
                        yield f"{kind} {source[field]['name']}"
            mounts = {mount["name"] for mount in container["volumeMounts"]}
            yield from (f"volume {name} of {one['metadata']['name']}" for name in mounts - volumes)
    if one["kind"] == "HorizontalPodAutoscaler":
        target = spec["scaleTargetRef"]
        yield f"{target['kind']} {target['name']}"
    if one["kind"] == "Ingress":
        yield from (f"Secret {tls['secretName']}" for tls in spec["tls"])
        yield from (f"Service {backend['name']}" for backend in _backends(one))


def _backends(ingress: Manifest) -> Iterator[Manifest]:
    for rule in ingress["spec"]["rules"]:
        for path in rule["http"]["paths"]:
            yield path["backend"]["service"]


def _templates(built: list[Manifest]) -> list[Manifest]:
    return [pod_template(one) for one in built if pod_of(one) is not None]


def _selectors(one: Manifest) -> Iterator[Manifest]:
    """The selectors of pods of this namespace in a manifest."""
    spec = one.get("spec", {})
    if one["kind"] == "Service":
        yield {"matchLabels": spec["selector"]}
    elif one["kind"] in ("Deployment", "PodDisruptionBudget"):
        yield spec["selector"]
    elif one["kind"] == "NetworkPolicy":
        yield spec["podSelector"]
        for rule in (*spec.get("ingress", ()), *spec.get("egress", ())):
            for peer in (*rule.get("from", ()), *rule.get("to", ())):
                if "podSelector" in peer and "namespaceSelector" not in peer:
                    yield peer["podSelector"]
    if (pod := pod_of(one)) is not None:
        yield from (spread["labelSelector"] for spread in pod.get("topologySpreadConstraints", ()))


def _selectors_without_pods(built: list[Manifest]) -> Iterator[str]:
    labels = [template["metadata"]["labels"] for template in _templates(built)]
    for one in built:
        for selector in _selectors(one):
            # Every value of an expression counts: a misspelt one beside right ones would go unnoticed.
            for narrowed in _each_value(selector):
                if not any(selects(narrowed, present) for present in labels):
                    yield f"pods of {one['kind']} {one['metadata']['name']}"


def _each_value(selector: Manifest) -> Iterator[Manifest]:
    expressions = selector.get("matchExpressions", ())
    if not expressions:
        yield selector
    for expression in expressions:
        for value in expression["values"]:
            yield {**selector, "matchExpressions": [{**expression, "values": [value]}]}


def _unknown_ports(built: list[Manifest]) -> Iterator[str]:
    """Named ports that no selected pod has; `Service/port` that a backend of an Ingress misses."""
    for one in built:
        name = f"{one['kind']} {one['metadata']['name']}"
        if one["kind"] == "Service":
            pods = [
                template["spec"]
                for template in _templates(built)
                if selects({"matchLabels": one["spec"]["selector"]}, template["metadata"]["labels"])
            ]
            wanted = {port["targetPort"] for port in one["spec"]["ports"]}
            yield from (f"port {port} of {name}" for port in wanted - _port_names(pods))
        elif (pod := pod_of(one)) is not None:
            wanted = {
                container[probe]["httpGet"]["port"]
                for container in pod["containers"]
                for probe in ("startupProbe", "readinessProbe", "livenessProbe")
                if probe in container
            }
            yield from (f"port {port} of {name}" for port in wanted - _port_names([pod]))
        elif one["kind"] == "Ingress":
            ports = {
                (service["metadata"]["name"], port["name"])
                for service in built
                if service["kind"] == "Service"
                for port in service["spec"]["ports"]
            }
            wanted_ports = {(backend["name"], backend["port"]["name"]) for backend in _backends(one)}
            yield from (f"port {port} of Service {service}" for service, port in wanted_ports - ports)


def _port_names(pods: list[Manifest]) -> set[str]:
    return {port["name"] for pod in pods for one in pod["containers"] for port in one.get("ports", ())}


def test_only_the_secret_is_missing_in_the_base() -> None:
    assert dangling(BASE) == {"Secret forewarn-secrets"}


def test_everything_that_the_example_refers_to_exists() -> None:
    assert dangling(EXAMPLE) == set()


_POD = "spec/template/spec"
_CONTAINER = f"{_POD}/containers/0"


@pytest.mark.parametrize(
    ("kind", "name", "path", "value", "missing"),
    [
        ("Deployment", "service", f"{_POD}/serviceAccountName", "nobody", "ServiceAccount nobody"),
        ("Deployment", "service", f"{_CONTAINER}/envFrom/0/configMapRef/name", "x", "ConfigMap x"),
        ("Deployment", "service", f"{_CONTAINER}/envFrom/1/secretRef/name", "x", "Secret x"),
        (
            "Deployment",
            "mlflow",
            f"{_POD}/volumes/0/persistentVolumeClaim/claimName",
            "x",
            "PersistentVolumeClaim x",
        ),
        ("Deployment", "mlflow", f"{_CONTAINER}/volumeMounts/0/name", "x", "volume x of mlflow"),
        ("Deployment", "mlflow", "spec/selector/matchLabels", {"a": "b"}, "pods of Deployment mlflow"),
        ("Service", "mlflow", "spec/selector", {"a": "b"}, "pods of Service mlflow"),
        ("Service", "mlflow", "spec/ports/0/targetPort", "web", "port web of Service mlflow"),
        (
            "Deployment",
            "service",
            f"{_CONTAINER}/readinessProbe/httpGet/port",
            "web",
            "port web of Deployment service",
        ),
        (
            "PodDisruptionBudget",
            "service",
            "spec/selector/matchLabels",
            {"a": "b"},
            "pods of PodDisruptionBudget service",
        ),
        (
            "NetworkPolicy",
            "database",
            "spec/podSelector/matchExpressions/0/values/0",
            "worker",
            "pods of NetworkPolicy database",
        ),
        (
            "NetworkPolicy",
            "to-mlflow",
            "spec/egress/0/to/0/podSelector/matchLabels",
            {"a": "b"},
            "pods of NetworkPolicy to-mlflow",
        ),
        ("HorizontalPodAutoscaler", "service", "spec/scaleTargetRef/name", "web", "Deployment web"),
        ("Ingress", "service", "spec/tls/0/secretName", "other", "Secret other"),
        (
            "Ingress",
            "service",
            "spec/rules/0/http/paths/0/backend/service/port/name",
            "web",
            "port web of Service service",
        ),
    ],
)
def test_a_reference_that_leads_nowhere_is_found(
    kind: str, name: str, path: str, value: Any, missing: str
) -> None:
    assert missing in dangling(changed(EXAMPLE, kind, name, {path: value}))
