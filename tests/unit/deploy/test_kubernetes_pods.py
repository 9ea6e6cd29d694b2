"""The pods of `deploy/kubernetes` are confined, limited, probed and waited for. Each rule finds a broken manifest."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from deployed import ABSENT, BASE, EXAMPLE, changed, find, pod_template, workloads
from kustomize import Manifest, containers_of

Built = list[Manifest]
#: A rule returns the names of what breaks it.
Rule = Callable[[Built], list[str]]

#: Jobs end by themselves, so that they need no probes.
SERVES = "Deployment/"


def _containers(built: Built) -> Iterator[tuple[str, Manifest]]:
    for name, pod in workloads(built).items():
        for container in containers_of(pod):
            yield f"{name}/{container['name']}", container


def _security(container: Manifest) -> Manifest:
    context: Manifest = container.get("securityContext", {})
    return context


def runs_as_root(built: Built) -> list[str]:
    contexts = {name: pod.get("securityContext", {}) for name, pod in workloads(built).items()}
    pods = [
        name
        for name, one in contexts.items()
        if one.get("runAsNonRoot") is not True or one.get("runAsUser") != 10001
    ]
    own = {"runAsNonRoot", "runAsUser", "runAsGroup"}
    return pods + [name for name, one in _containers(built) if own & set(_security(one))]


def file_system_can_be_written(built: Built) -> list[str]:
    return [
        name for name, one in _containers(built) if _security(one).get("readOnlyRootFilesystem") is not True
    ]


def may_gain_privileges(built: Built) -> list[str]:
    return [
        name
        for name, one in _containers(built)
        if _security(one).get("allowPrivilegeEscalation") is not False or _security(one).get("privileged")
    ]


def keeps_capabilities(built: Built) -> list[str]:
    return [
        name for name, one in _containers(built) if _security(one).get("capabilities") != {"drop": ["ALL"]}
    ]


def may_call_any_function_of_the_kernel(built: Built) -> list[str]:
    wanted = {"type": "RuntimeDefault"}
    pods = [
        name
        for name, pod in workloads(built).items()
        if pod.get("securityContext", {}).get("seccompProfile") != wanted
    ]
    return pods + [name for name, one in _containers(built) if "seccompProfile" in _security(one)]


def reaches_into_the_node(built: Built) -> list[str]:
    shared = ("hostNetwork", "hostPID", "hostIPC")
    return [
        name
        for name, pod in workloads(built).items()
        if any(pod.get(field) for field in shared) or any("hostPath" in one for one in pod["volumes"])
    ]


def may_use_the_api_of_the_cluster(built: Built) -> list[str]:
    accounts = [
        f"ServiceAccount/{one['metadata']['name']}" for one in built if one["kind"] == "ServiceAccount"
    ]
    open_accounts = [
        name
        for name in accounts
        if find(built, *name.split("/")).get("automountServiceAccountToken") is not False
    ]
    return open_accounts + [
        name
        for name, pod in workloads(built).items()
        if pod.get("automountServiceAccountToken") is not False
        or pod.get("serviceAccountName", "default") == "default"
    ]


def takes_addresses_for_settings(built: Built) -> list[str]:
    """A Service `mlflow` would set MLFLOW_PORT to an address, which MLflow reads as its port."""
    return [name for name, pod in workloads(built).items() if pod.get("enableServiceLinks") is not False]


def has_no_limits(built: Built) -> list[str]:
    def limited(container: Manifest) -> bool:
        resources = container.get("resources", {})
        return all({"cpu", "memory"} <= set(resources.get(field, {})) for field in ("requests", "limits"))

    volumes = [
        f"{name}/{volume['name']}"
        for name, pod in workloads(built).items()
        for volume in pod["volumes"]
        if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]
    ]
    return volumes + [name for name, one in _containers(built) if not limited(one)]


def serves_without_probes(built: Built) -> list[str]:
    probes = {"startupProbe", "readinessProbe", "livenessProbe"}
    return [
        name
        for name, pod in workloads(built).items()
        if name.startswith(SERVES) and name != "Deployment/watch"  # which nobody asks
        for container in pod["containers"]
        if not probes <= set(container)
    ]


def image_without_a_version(built: Built) -> list[str]:
    return [name for name, one in _containers(built) if one["image"].partition(":")[2] in ("", "latest")]


def uses_the_database_before_it_is_migrated(built: Built) -> list[str]:
    return [
        name
        for name, pod in workloads(built).items()
        if name not in ("Job/migrate", "Deployment/mlflow")
        and "wait-for-migrations" not in [one["name"] for one in pod.get("initContainers", ())]
    ]


def runs_twice_where_it_must_not(built: Built) -> list[str]:
    """Two pods cannot write to one volume, and of two runs of one flow or step the second does nothing."""
    jobs = [
        f"CronJob/{one['metadata']['name']}"
        for one in built
        if one["kind"] == "CronJob" and one["spec"].get("concurrencyPolicy") != "Forbid"
    ]
    return jobs + [
        f"Deployment/{one['metadata']['name']}"
        for one in built
        if one["kind"] == "Deployment"
        and one["metadata"]["name"] != "service"
        and (one["spec"].get("replicas"), one["spec"].get("strategy")) != (1, {"type": "Recreate"})
    ]


def may_run_without_end(built: Built) -> list[str]:
    """A job that hangs would keep all later runs from starting."""
    return [
        one["metadata"]["name"]
        for one in built
        if one["kind"] == "CronJob" and "activeDeadlineSeconds" not in one["spec"]["jobTemplate"]["spec"]
    ]


def replicas_may_all_be_stopped(built: Built) -> list[str]:
    """Whatever has more than one replica has a disruption budget; one replica must not keep a node from its drain."""
    scaled = {
        one["spec"]["scaleTargetRef"]["name"]: one["spec"].get("minReplicas", 1)
        for one in built
        if one["kind"] == "HorizontalPodAutoscaler"
    }
    budgets = [
        one["spec"]["selector"]["matchLabels"] for one in built if one["kind"] == "PodDisruptionBudget"
    ]
    wrong = []
    for one in built:
        if one["kind"] == "Deployment":
            name = one["metadata"]["name"]
            replicas = scaled.get(name, one["spec"].get("replicas", 1))
            labels = pod_template(one)["metadata"]["labels"].items()
            if any(budget.items() <= labels for budget in budgets) != (replicas > 1):
                wrong.append(name)
    return wrong


def autoscaler_and_manifest_both_set_the_replicas(built: Built) -> list[str]:
    scaled = {
        one["spec"]["scaleTargetRef"]["name"] for one in built if one["kind"] == "HorizontalPodAutoscaler"
    }
    return [name for name in scaled if "replicas" in find(built, "Deployment", name)["spec"]]


_POD = "spec/template/spec"
_JOB_POD = "spec/jobTemplate/spec/template/spec"
_SERVICE = ("Deployment", "service")
_CONTAINER = f"{_POD}/containers/0"
_CONTEXT = f"{_CONTAINER}/securityContext"

RULES: list[tuple[Rule, tuple[str, str], Mapping[str, Any]]] = [
    (runs_as_root, _SERVICE, {f"{_POD}/securityContext/runAsNonRoot": ABSENT}),
    (runs_as_root, _SERVICE, {f"{_POD}/securityContext/runAsUser": 0}),
    (runs_as_root, _SERVICE, {f"{_CONTEXT}/runAsUser": 0}),
    (runs_as_root, ("CronJob", "weekly"), {f"{_JOB_POD}/securityContext": {}}),
    (file_system_can_be_written, _SERVICE, {f"{_CONTEXT}/readOnlyRootFilesystem": False}),
    (
        file_system_can_be_written,
        _SERVICE,
        {f"{_POD}/initContainers/0/securityContext/readOnlyRootFilesystem": ABSENT},
    ),
    (may_gain_privileges, _SERVICE, {f"{_CONTEXT}/allowPrivilegeEscalation": ABSENT}),
    (may_gain_privileges, _SERVICE, {f"{_CONTEXT}/privileged": True}),
    (keeps_capabilities, _SERVICE, {f"{_CONTEXT}/capabilities": ABSENT}),
    (keeps_capabilities, _SERVICE, {f"{_CONTEXT}/capabilities/add": ["NET_ADMIN"]}),
    (may_call_any_function_of_the_kernel, _SERVICE, {f"{_POD}/securityContext/seccompProfile": ABSENT}),
    (may_call_any_function_of_the_kernel, _SERVICE, {f"{_CONTEXT}/seccompProfile": {"type": "Unconfined"}}),
    (reaches_into_the_node, _SERVICE, {f"{_POD}/hostNetwork": True}),
    (reaches_into_the_node, _SERVICE, {f"{_POD}/volumes/0": {"name": "data", "hostPath": {"path": "/"}}}),
    (may_use_the_api_of_the_cluster, _SERVICE, {f"{_POD}/automountServiceAccountToken": ABSENT}),
    (may_use_the_api_of_the_cluster, _SERVICE, {f"{_POD}/serviceAccountName": ABSENT}),
    (
        may_use_the_api_of_the_cluster,
        ("ServiceAccount", "forewarn"),
        {"automountServiceAccountToken": True},
    ),
    (takes_addresses_for_settings, ("Deployment", "mlflow"), {f"{_POD}/enableServiceLinks": ABSENT}),
    (has_no_limits, _SERVICE, {f"{_CONTAINER}/resources/limits/memory": ABSENT}),
    (has_no_limits, _SERVICE, {f"{_CONTAINER}/resources/requests": ABSENT}),
    (has_no_limits, _SERVICE, {f"{_POD}/initContainers/0/resources": ABSENT}),
    (has_no_limits, _SERVICE, {f"{_POD}/volumes/0/emptyDir": {}}),
    (serves_without_probes, _SERVICE, {f"{_CONTAINER}/startupProbe": ABSENT}),
    (serves_without_probes, _SERVICE, {f"{_CONTAINER}/livenessProbe": ABSENT}),
    (serves_without_probes, ("Deployment", "mlflow"), {f"{_CONTAINER}/readinessProbe": ABSENT}),
    (image_without_a_version, _SERVICE, {f"{_CONTAINER}/image": "forewarn"}),
    (image_without_a_version, ("Job", "migrate"), {f"{_CONTAINER}/image": "forewarn:latest"}),
    (uses_the_database_before_it_is_migrated, _SERVICE, {f"{_POD}/initContainers": ABSENT}),
    (uses_the_database_before_it_is_migrated, ("CronJob", "nightly"), {f"{_JOB_POD}/initContainers": []}),
    (runs_twice_where_it_must_not, ("CronJob", "nightly"), {"spec/concurrencyPolicy": "Allow"}),
    (runs_twice_where_it_must_not, ("Deployment", "watch"), {"spec/strategy": ABSENT}),
    (runs_twice_where_it_must_not, ("Deployment", "mlflow"), {"spec/replicas": 2}),
    (runs_twice_where_it_must_not, ("Deployment", "mlflow"), {"spec/strategy": ABSENT}),
    (may_run_without_end, ("CronJob", "nightly"), {"spec/jobTemplate/spec/activeDeadlineSeconds": ABSENT}),
    (
        replicas_may_all_be_stopped,
        ("PodDisruptionBudget", "service"),
        {"spec/selector/matchLabels": {"app.kubernetes.io/component": "mlflow"}},
    ),
    (replicas_may_all_be_stopped, ("Deployment", "mlflow"), {"spec/replicas": 2}),
    (autoscaler_and_manifest_both_set_the_replicas, _SERVICE, {"spec/replicas": 2}),
]


@pytest.mark.parametrize("built", [BASE, EXAMPLE], ids=["base", "example"])
@pytest.mark.parametrize("rule", dict.fromkeys(rule for rule, *_ in RULES))
def test_all_pods_keep_the_rule(rule: Rule, built: Built) -> None:
    assert len(workloads(built)) == 6
    assert rule(built) == []


@pytest.mark.parametrize(("rule", "manifest", "changes"), RULES)
def test_the_rule_finds_a_broken_manifest(
    rule: Rule, manifest: tuple[str, str], changes: Mapping[str, Any]
) -> None:
    assert rule(changed(BASE, *manifest, changes))
