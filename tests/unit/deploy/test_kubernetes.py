"""`deploy/kubernetes` as a whole: Kubernetes accepts it, Kustomize builds it, Forewarn understands its settings."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from data_sets import ROOT
from deployed import BASE, EXAMPLE, FOLDER, changed, filled_example, find, workloads
from kustomize import Manifest, build, containers_of
from typer.core import TyperGroup
from typer.exceptions import TyperException
from typer.main import get_command

from core.json_text import json_text
from core.settings import Settings
from flows.cli import app
from flows.schedules import SCHEDULES
from pipelines.stores.ready import DatabaseStatus
from serving.http.routes import ROUTES
from serving.state.metrics import Metrics

#: The oldest version that the page on Kubernetes promises, and the newest whose schemas are installed.
OLDEST, NEWEST = "1.27", "1.37"
#: Kustomize gives generated names the hash of their content.
HASH = re.compile(r"(forewarn-(?:settings|secrets))-[a-z0-9]{10}\b")


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("built", [BASE, EXAMPLE], ids=["base", "example"])
def test_kubernetes_knows_every_field(built: list[Manifest], version: str) -> None:
    for one in built:
        assert kubernetes_validate.validate(one, version, strict=True) == version


def test_the_page_names_the_oldest_version() -> None:
    assert f"Kubernetes {OLDEST}" in (ROOT / "docs" / "kubernetes.md").read_text()


@pytest.mark.parametrize(
    ("path", "value"),
    [("spec/replica", 2), ("spec/template/spec/containers/0/ports/0/containerPort", "http")],
    ids=["unknown field", "wrong type"],
)
def test_a_field_that_kubernetes_does_not_know_is_found(path: str, value: object) -> None:
    broken = find(changed(BASE, "Deployment", "service", {path: value}), "Deployment", "service")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, NEWEST, strict=True)


def test_every_file_belongs_to_a_kustomization() -> None:
    for plan in (FOLDER / "base", FOLDER / "overlays" / "example"):
        text = (plan / "kustomization.yaml").read_text()
        files = {path.name.removesuffix(".example") for path in plan.iterdir()} - {"kustomization.yaml"}
        assert [name for name in files if name not in text] == []


def test_kustomize_builds_the_same(tmp_path: Path) -> None:
    client = shutil.which("kubectl")
    if client is None:
        pytest.skip("kubectl is not installed")
    example = filled_example(tmp_path)
    shown = subprocess.run([client, "kustomize", example], capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    built = list(yaml.safe_load_all(HASH.sub(r"\1", shown.stdout)))
    assert _by_name(_without_data(built)) == _by_name(_without_data(build(example)))
    assert find(built, "ConfigMap", "forewarn-settings")["data"] == _settings()


def _by_name(built: list[Manifest]) -> dict[tuple[str, str], Manifest]:
    return {(one["kind"], one["metadata"]["name"]): one for one in built}


def _without_data(built: list[Manifest]) -> list[Manifest]:
    """Kustomize encodes the data of Secrets, and gives them a type."""
    return [one for one in built if one["kind"] != "Secret"]


def _settings() -> dict[str, str]:
    data: dict[str, str] = find(EXAMPLE, "ConfigMap", "forewarn-settings")["data"]
    return data


def _secrets() -> dict[str, str]:
    data: dict[str, str] = find(EXAMPLE, "Secret", "forewarn-secrets")["stringData"]
    return data


def test_an_unknown_field_of_a_kustomization_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("resources: []\npatches: []\n")
    with pytest.raises(ValueError, match="patches"):
        build(tmp_path)


def test_forewarn_accepts_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {**_settings(), **_secrets()}
    fields = {f"FOREWARN_{name.upper()}" for name in Settings.model_fields}
    assert set(given) <= fields
    for name in fields:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = Settings(_env_file=None)
    assert settings.database_url is not None
    assert settings.serve_port == _port("service")
    tracking = settings.mlflow_tracking_uri
    (port,) = find(EXAMPLE, "Service", "mlflow")["spec"]["ports"]
    assert tracking is not None
    assert tracking.get_secret_value() == f"http://mlflow:{port['port']}"
    (rule,) = find(EXAMPLE, "Ingress", "service")["spec"]["rules"]
    assert settings.public_url == f"https://{rule['host']}"


def _port(deployment: str) -> int:
    (container,) = find(EXAMPLE, "Deployment", deployment)["spec"]["template"]["spec"]["containers"]
    (port,) = container["ports"]
    number: int = port["containerPort"]
    return number


def test_the_folders_that_forewarn_writes_to_can_be_written() -> None:
    for name, pod in workloads(EXAMPLE).items():
        for container in containers_of(pod):
            mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
            needed = {"/app/mlruns"} if name == "Deployment/mlflow" else {_settings()["FOREWARN_DATA_DIR"]}
            # HOME of the image, and the place of temporary files.
            assert mounted == needed | {"/tmp"}  # noqa: S108 - of the container


def test_no_secret_is_in_the_files() -> None:
    names = [name for name, one in Settings.model_fields.items() if "Secret" in str(one.annotation)]
    assert "database_url" in names
    # The address of MLflow may have a password, but that of these manifests has none.
    secret = {f"FOREWARN_{name.upper()}" for name in names} - {"FOREWARN_MLFLOW_TRACKING_URI"}
    assert secret.isdisjoint(_settings())
    assert "@" not in _settings()["FOREWARN_MLFLOW_TRACKING_URI"]
    lines = (FOLDER / "overlays" / "example" / "secrets.env.example").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#") and not line.endswith("=")] == []
    assert not [one for one in BASE if one["kind"] == "Secret"]


def test_git_ignores_the_file_with_the_secrets() -> None:
    file = FOLDER / "overlays" / "example" / "secrets.env"
    assert not subprocess.run(["git", "check-ignore", "-q", file], cwd=ROOT, check=False).returncode


def test_the_image_has_the_version_of_the_project() -> None:
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.M)
    assert version
    images = {one["image"] for pod in workloads(BASE).values() for one in containers_of(pod)}
    assert images == {f"forewarn:{version.group(1)}"}


def test_every_pod_runs_as_the_user_of_the_image() -> None:
    user = re.search(r"^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text(), re.M)
    assert user
    for pod in workloads(BASE).values():
        context = pod["securityContext"]
        assert (str(context["runAsUser"]), str(context["runAsGroup"])) == user.groups()


def test_the_flows_run_at_their_times() -> None:
    jobs = {
        one["metadata"]["name"]: (one["spec"]["schedule"], one["spec"]["timeZone"])
        for one in BASE
        if one["kind"] == "CronJob"
    }
    wanted = {entry.flow.name: (entry.cron, "Etc/UTC") for entry in SCHEDULES if entry.cron}
    del wanted["watch"]  # in a process that stays
    assert jobs == wanted
    assert workloads(BASE)["Deployment/watch"]["containers"][0]["args"] == ["flows", "cycles"]
    for name in jobs:
        assert workloads(BASE)[f"CronJob/{name}"]["containers"][0]["args"] == ["flows", "run", name]


def test_every_container_of_forewarn_runs_a_command_that_exists() -> None:
    commands = [
        container["args"]
        for name, pod in workloads(BASE).items()
        for container in pod["containers"]
        if name != "Deployment/mlflow"
    ]
    assert sorted(args[0] for args in commands) == ["db", "flows", "flows", "flows", "serve"]
    for args in commands:
        _parse(args)


def _parse(args: list[str]) -> None:
    """Fails where the command line of Forewarn would fail; runs nothing."""
    command = get_command(app)
    while isinstance(command, TyperGroup):
        name, *args = args
        command = command.commands[name]
    command.make_context("forewarn", args)


@pytest.mark.parametrize("args", [["flows", "walk"], ["serve", "--workers", "2"], ["flows", "run"]])
def test_a_command_that_does_not_exist_is_found(args: list[str]) -> None:
    with pytest.raises((KeyError, TyperException)):
        _parse(args)


def test_the_autoscaler_counts_requests_with_a_metric_that_the_service_has() -> None:
    (metric,) = find(BASE, "HorizontalPodAutoscaler", "service")["spec"]["metrics"]
    name = metric["pods"]["metric"]["name"]
    assert f"# TYPE {name} gauge" in Metrics().text().decode()
    assert name in (ROOT / "docs" / "kubernetes.md").read_text()


def test_probes_and_scrapes_ask_for_paths_that_the_service_answers() -> None:
    template = find(BASE, "Deployment", "service")["spec"]["template"]
    (container,) = template["spec"]["containers"]
    probes = ("startupProbe", "readinessProbe", "livenessProbe")
    asked = {container[probe]["httpGet"]["path"] for probe in probes}
    asked.add(template["metadata"]["annotations"]["prometheus.io/path"])
    assert asked == {"/livez", "/readyz", "/metrics"}
    assert asked <= {route.path for route in ROUTES}
    assert template["metadata"]["annotations"]["prometheus.io/port"] == str(_port("service"))


@pytest.mark.parametrize(("pending", "waits"), [((), False), (("0018_new",), True)])
def test_pods_wait_until_no_migration_is_missing(
    tmp_path: Path, pending: tuple[str, ...], waits: bool
) -> None:
    """Runs the command of the init container with a `forewarn` that has the answer, and a `sleep` that ends it."""
    status = DatabaseStatus(kind="FOREWARN_DATABASE_URL", running=True, applied=("0001_a",), pending=pending)
    commands = {"forewarn": f"cat <<'END'\n{json_text(status)}\nEND\n", "sleep": "kill -TERM $PPID\n"}
    for name, script in commands.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}")
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}:/usr/bin:/bin"
    pods = [pod for pod in workloads(BASE).values() if "initContainers" in pod]
    assert len(pods) == 4
    for pod in pods:
        (wait,) = pod["initContainers"]
        done = subprocess.run(wait["command"], env={"PATH": path}, check=False)
        assert (done.returncode != 0) is waits


def test_the_answer_that_pods_wait_for_is_that_of_the_command() -> None:
    """`forewarn db status --json` prints a `DatabaseStatus` with `json_text`."""
    assert json.loads(json_text(DatabaseStatus(kind="x", running=True)))["pending"] == []
