"""The compose file and Grafana's dashboard, as far as they can be judged without an engine."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
COMPOSE = ROOT / "docker-compose.yml"
PASSWORDS = ("FOREWARN_DB_PASSWORD", "GRAFANA_READER_PASSWORD", "GRAFANA_ADMIN_PASSWORD")


def test_the_compose_client_accepts_the_file() -> None:
    client = shutil.which("docker-compose")
    if client is None:
        pytest.skip("docker-compose is not installed (Debian's package docker-compose)")
    checked = subprocess.run(
        [client, "--file", COMPOSE, "config", "--quiet"],
        env={**os.environ, **dict.fromkeys(PASSWORDS, "secret")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr


def test_all_six_parts_are_there_and_what_is_published_is_published_on_loopback_only() -> None:
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    assert {"timescaledb", "redis", "mlflow", "prefect", "service", "grafana"} <= set(services)
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_no_password_stands_in_the_compose_file() -> None:
    text = COMPOSE.read_text()
    assert not re.search(r"(?i)password: +(?!\$\{)\S", text)


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
