"""Web pages of other origins can neither read nor change anything on the servers of Prefect and MLflow."""

import os
import sys
import uuid
from collections.abc import Iterator

import httpx
import pytest

from pipelines.processes.prefect_app import READY, protection
from pipelines.processes.server_process import ServerProcess, free_port, start_server

FOREIGN = "http://evil.example"
LOGIN = ("forewarn", "secret")


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder, port = tmp_path_factory.mktemp("prefect"), free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")},
        "PREFECT_HOME": str(folder),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        **protection(":".join(LOGIN), [url]),
    }
    command = [sys.executable, "-m", "pipelines.processes.prefect_app", "--port", str(port), "--temporary"]
    with start_server("Prefect", command, url=url, log=folder / "log", env=environment) as server:
        server.wait_until_ready(READY)
        yield server


def client_of(server: ServerProcess, *, login: bool = True) -> httpx.Client:
    return httpx.Client(base_url=server.url, auth=LOGIN if login else None, timeout=30, trust_env=False)


def test_prefect_refuses_a_preflight_and_a_post_of_a_foreign_origin_even_with_the_password(
    prefect: ServerProcess,
) -> None:
    preflight = {"Origin": FOREIGN, "Access-Control-Request-Method": "POST"}
    with client_of(prefect) as client:
        asked = client.options("/api/flows/filter", headers=preflight)
        posted = client.post("/api/flows/filter", json={}, headers={"Origin": FOREIGN})
        read = client.get("/api/admin/version", headers={"Origin": FOREIGN})
    for response in (asked, posted, read):
        assert response.status_code in (400, 403)
        assert "access-control-allow-origin" not in response.headers


def test_prefect_needs_a_password_a_csrf_token_and_its_own_host_name(prefect: ServerProcess) -> None:
    with client_of(prefect, login=False) as client:
        assert client.get("/api/admin/version").status_code == 401
        assert client.get("/api/health").status_code == 200
    with client_of(prefect) as client:
        assert client.get("/api/admin/version").status_code == 200
        assert client.post("/api/flows/filter", json={}).status_code == 403
        assert client.get("/api/admin/version", headers={"Host": "evil.example"}).status_code == 400
        name = str(uuid.uuid4())
        token = client.get(f"/api/csrf-token?client={name}").json()["token"]
        headers = {"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": name, "Origin": prefect.url}
        assert client.post("/api/flows/filter", json={}, headers=headers).status_code == 200


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    from flows.demo import mlflow_command

    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    command = mlflow_command(port, folder / "mlflow.db")
    url = f"http://127.0.0.1:{port}"
    with start_server("MLflow", command, url=url, log=folder / "log") as server:
        server.wait_until_ready("/health")
        yield server


def test_mlflow_refuses_a_foreign_origin_and_a_foreign_host_name(mlflow: ServerProcess) -> None:
    path, search = "/api/2.0/mlflow/experiments/search", {"max_results": 1}
    preflight = {"Origin": FOREIGN, "Access-Control-Request-Method": "POST"}
    with client_of(mlflow, login=False) as client:
        asked = client.options(path, headers=preflight)
        posted = client.post(path, json=search, headers={"Origin": FOREIGN})
        assert posted.status_code == 403
        for response in (asked, posted):
            assert "access-control-allow-origin" not in response.headers
        assert client.get("/", headers={"Host": "evil.example"}).status_code == 403
        assert client.post(path, json=search).status_code == 200
        assert client.post(path, json=search, headers={"Origin": mlflow.url}).status_code == 200
