"""The compose file and Grafana's dashboard, as far as they can be tested without an engine.

Each rule for services has a broken example that it must find.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.settings import Settings
from pipelines.processes.prefect_app import protection

ROOT = Path(__file__).resolve().parents[3]
COMPOSE = ROOT / "docker-compose.yml"
Service = dict[str, Any]
SERVICES: dict[str, Service] = yaml.safe_load(COMPOSE.read_text())["services"]
#: Ends when its work is done, so that it needs no health check and is not started again.
ONE_SHOT = "migrate"
#: Containers that run Forewarn itself; MLflow and Prefect run from the same image.
FOREWARN = ("migrate", "flows", "consume", "service")


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """What the compose client makes of the file, with the `.env` that `make up` writes and every setting in it."""
    client = shutil.which("docker-compose")
    if client is None:
        pytest.skip("docker-compose is not installed (Debian's package docker-compose)")
    folder = tmp_path_factory.mktemp("compose")
    shutil.copy(COMPOSE, folder)
    shutil.copytree(ROOT / "deploy", folder / "deploy")
    (folder / ".env").write_text("".join(f"{name}=set-{name}\n" for name in _setting_names()))
    subprocess.run([sys.executable, folder / "deploy/environment.py"], check=True)
    shown = subprocess.run(
        [client, "--file", folder / "docker-compose.yml", "--profile", "consume", "config"],
        cwd=folder,
        env={
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("FOREWARN_", "GRAFANA_"))
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    result: Mapping[str, Any] = yaml.safe_load(shown.stdout)
    return result


def _setting_names() -> list[str]:
    return [f"FOREWARN_{name.upper()}" for name in Settings.model_fields]


@pytest.mark.parametrize("service", FOREWARN)
def test_every_setting_in_the_env_file_reaches_the_containers(
    composed: Mapping[str, Any], service: str
) -> None:
    settings = composed["services"][service]["environment"]
    assert set(_setting_names()) <= set(settings)
    fixed = {name for name in _setting_names() if settings[name] != f"set-{name}"}
    assert fixed == {
        "FOREWARN_DATA_DIR", "FOREWARN_MLRUNS_DIR", "FOREWARN_DATABASE_URL", "FOREWARN_REDIS_URL",
        "FOREWARN_MLFLOW_TRACKING_URI", "FOREWARN_SERVE_HOST", "FOREWARN_SERVE_PORT",
    }  # fmt: skip


def test_passwords_are_generated_and_reach_only_the_containers_that_need_them(
    composed: Mapping[str, Any],
) -> None:
    password = composed["services"]["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"]
    assert re.fullmatch(r"[0-9a-f]{32}", password)
    holders = {name for name, service in composed["services"].items() if password in json.dumps(service)}
    assert holders == {"grafana"}
    database = composed["services"]["timescaledb"]["environment"]["POSTGRES_PASSWORD"]
    assert re.fullmatch(r"[0-9a-f]{32}", database)
    assert database in composed["services"]["service"]["environment"]["FOREWARN_DATABASE_URL"]
    login = composed["services"]["prefect"]["environment"]["PREFECT_SERVER_API_AUTH_STRING"]
    assert re.fullmatch(r"forewarn:[0-9a-f]{32}", login)
    assert composed["services"]["flows"]["environment"]["PREFECT_API_AUTH_STRING"] == login
    holders = {name for name, service in composed["services"].items() if login in json.dumps(service)}
    assert holders == {"prefect", "flows"}


def test_the_consoles_refuse_web_pages_of_other_origins_and_hosts() -> None:
    prefect, mlflow = SERVICES["prefect"], SERVICES["mlflow"]
    assert prefect["entrypoint"] == ["python", "-m", "pipelines.processes.prefect_app"]
    settings = prefect["environment"]
    assert settings["PREFECT_SERVER_CSRF_PROTECTION_ENABLED"] == "true"
    assert settings["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"] == "http://127.0.0.1:4200,http://localhost:4200"
    assert set(protection("", [])) <= set(settings)
    assert "--allowed-hosts mlflow:5000,localhost:5000,127.0.0.1:5000" in mlflow["command"]
    assert "--cors-allowed-origins http://127.0.0.1:5000,http://localhost:5000" in mlflow["command"]


@pytest.mark.parametrize(
    "present",
    [
        "FOREWARN_TENANT=acme",
        "FOREWARN_DB_PASSWORD=\n",
        "# FOREWARN_DB_PASSWORD=old\n",
        "MY_FOREWARN_DB_PASSWORD=x\n",
    ],
)
def test_passwords_are_added_to_what_a_person_wrote(tmp_path: Path, present: str) -> None:
    (tmp_path / "deploy").mkdir()
    shutil.copy(ROOT / "deploy/environment.py", tmp_path / "deploy")
    file = tmp_path / ".env"
    file.write_text(present)
    for _ in range(2):
        subprocess.run([sys.executable, tmp_path / "deploy/environment.py"], check=True)
    lines = file.read_text().splitlines()
    assert lines[0] == present.strip()
    assert [bool(re.fullmatch(r"[A-Z_]+=[0-9a-f]{32}", line)) for line in lines[1:]] == [True] * 4


def test_the_service_has_a_public_address_also_where_nobody_set_one() -> None:
    """It listens on all addresses of its container, so the settings would refuse to start without one."""
    for name in FOREWARN:
        assert SERVICES[name]["environment"]["FOREWARN_PUBLIC_URL"] == (
            "${FOREWARN_PUBLIC_URL:-http://127.0.0.1:3000}"
        )


def test_only_the_consumer_of_queues_has_to_be_asked_for() -> None:
    assert {name: one["profiles"] for name, one in SERVICES.items() if "profiles" in one} == {
        "consume": ["consume"]
    }


def test_all_six_parts_are_there() -> None:
    assert {"timescaledb", "redis", "mlflow", "prefect", "service", "grafana"} <= set(SERVICES)
    assert any(service.get("ports") for service in SERVICES.values())


def test_no_password_stands_in_the_compose_file() -> None:
    text = COMPOSE.read_text()
    assert not re.search(r"(?i)password: +(?!\$\{|\"\")\S", text)


def published_beyond_loopback(_: str, service: Service) -> bool:
    return any(not str(port).startswith("127.0.0.1:") for port in service.get("ports", []))


def runs_as_root(_: str, service: Service) -> bool:
    return not re.fullmatch(r"[1-9]\d*:\d+", str(service.get("user", "")))


def file_system_can_be_written(_: str, service: Service) -> bool:
    return service.get("read_only") is not True


def keeps_capabilities(_: str, service: Service) -> bool:
    return service.get("cap_drop") != ["ALL"] or bool(service.get("cap_add"))


def may_gain_privileges(_: str, service: Service) -> bool:
    return "no-new-privileges:true" not in service.get("security_opt", [])


def reaches_into_the_host(_: str, service: Service) -> bool:
    own = any(service.get(name) for name in ("privileged", "network_mode", "pid", "ipc", "devices"))
    return own or any("docker.sock" in str(volume) for volume in service.get("volumes", []))


def mounts_files_of_the_host_for_writing(_: str, service: Service) -> bool:
    mounts = [str(volume) for volume in service.get("volumes", [])]
    return any(mount.startswith((".", "/", "~")) and not mount.endswith(":ro") for mount in mounts)


def has_no_limits(_: str, service: Service) -> bool:
    return not all(service.get(name) for name in ("mem_limit", "cpus", "pids_limit"))


def logs_without_end(_: str, service: Service) -> bool:
    return not {"max-size", "max-file"} <= set(service.get("logging", {}).get("options", {}))


def has_no_health_check(name: str, service: Service) -> bool:
    return name != ONE_SHOT and not service.get("healthcheck", {}).get("test")


def is_not_started_again(name: str, service: Service) -> bool:
    return name != ONE_SHOT and service.get("restart") != "unless-stopped"


def image_without_a_version(_: str, service: Service) -> bool:
    _, _, version = str(service.get("image", "")).partition(":")
    return version in ("", "latest")


def waits_for_what_is_not_ready(_: str, service: Service) -> bool:
    return any(one["condition"] == "service_started" for one in service.get("depends_on", {}).values())


def names_single_settings(name: str, service: Service) -> bool:
    return name in FOREWARN and service.get("env_file") != [".env"]


RULES: list[tuple[Callable[[str, Service], bool], Mapping[str, Any]]] = [
    (published_beyond_loopback, {"ports": ["3000:3000"]}),
    (published_beyond_loopback, {"ports": ["0.0.0.0:3000:3000"]}),
    (runs_as_root, {"user": None}),
    (runs_as_root, {"user": "0:0"}),
    (file_system_can_be_written, {"read_only": False}),
    (keeps_capabilities, {"cap_drop": []}),
    (keeps_capabilities, {"cap_add": ["NET_ADMIN"]}),
    (may_gain_privileges, {"security_opt": []}),
    (reaches_into_the_host, {"privileged": True}),
    (reaches_into_the_host, {"network_mode": "host"}),
    (reaches_into_the_host, {"volumes": ["/var/run/docker.sock:/var/run/docker.sock:ro"]}),
    (mounts_files_of_the_host_for_writing, {"volumes": ["./deploy:/deploy"]}),
    (has_no_limits, {"mem_limit": None}),
    (has_no_limits, {"pids_limit": None}),
    (logs_without_end, {"logging": {}}),
    (has_no_health_check, {"healthcheck": {}}),
    (is_not_started_again, {"restart": "no"}),
    (image_without_a_version, {"image": "forewarn"}),
    (waits_for_what_is_not_ready, {"depends_on": {"mlflow": {"condition": "service_started"}}}),
    (names_single_settings, {"env_file": None}),
]


@pytest.mark.parametrize("broken", dict.fromkeys(rule for rule, _ in RULES))
def test_every_service_keeps_the_rule(broken: Callable[[str, Service], bool]) -> None:
    assert [name for name, service in SERVICES.items() if broken(name, service)] == []


@pytest.mark.parametrize(("broken", "change"), RULES)
def test_the_rule_finds_a_broken_service(
    broken: Callable[[str, Service], bool], change: Mapping[str, Any]
) -> None:
    assert broken("service", {**SERVICES["service"], **change})


def test_what_grafana_reads_is_where_the_compose_file_mounts_it() -> None:
    provider = yaml.safe_load((ROOT / "deploy/grafana/provisioning/dashboards/forewarn.yaml").read_text())
    path = provider["providers"][0]["options"]["path"]
    assert f"./deploy/grafana/dashboards:{path}:ro" in SERVICES["grafana"]["volumes"]


def test_the_dashboard_asks_only_tables_that_the_migrations_make() -> None:
    made = " ".join(path.read_text() for path in (ROOT / "pipelines" / "migrations").glob("0*.sql"))
    tables = set(re.findall(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+)", made))
    dashboard = json.loads((ROOT / "deploy/grafana/dashboards/forewarn.json").read_text())
    asked = set()
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            asked |= set(re.findall(r"FROM (\w+)", target["rawSql"])) - {"samples p"}
    assert asked
    assert asked <= tables
