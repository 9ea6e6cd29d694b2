"""Starting and stopping: a service that cannot start says why, one that stops finishes its answers."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
from e2e.fleet import Fleet
from pydantic import SecretStr
from servers.prefect_server import wait_until
from servers.service import environment_of

from core.settings import Settings
from flows.service_process import start_service
from pipelines.processes.server_process import free_port
from pipelines.stores.embedded import EmbeddedPostgres


def start_that_fails(settings: Settings) -> str:
    """What the service says before it ends."""
    command = [sys.executable, "-m", "serving.run"]
    ended = subprocess.run(
        command, env=environment_of(settings), capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 1
    return ended.stdout + ended.stderr


def test_a_port_that_is_taken_ends_the_start_with_one_sentence(fleet: Fleet) -> None:
    said = start_that_fails(fleet.settings)
    assert said.strip().splitlines()[-1].startswith("the service cannot start: cannot listen on 127.0.0.1:")
    assert "is the port in use" in said


def test_a_database_that_does_not_answer_ends_the_start_and_its_password_stays_secret(fleet: Fleet) -> None:
    dsn = f"postgresql://someone:hush-hush@127.0.0.1:{free_port()}/nothing"
    said = start_that_fails(
        fleet.settings.model_copy(update={"database_url": SecretStr(dsn), "serve_port": free_port()})
    )
    assert "the service cannot start: the database does not answer" in said
    assert "hush-hush" not in said


def test_a_request_under_way_is_answered_before_the_service_ends(fleet: Fleet) -> None:
    settings = fleet.settings.model_copy(update={"serve_port": free_port()})
    answers: list[int] = []
    with start_service(settings, env=environment_of(settings)) as service:

        def ask() -> None:
            with fleet.client() as client:
                body = {"observations": [observation(fleet)]}
                answers.append(client.post(f"{service.url}/detect", json=body).status_code)

        asking = threading.Thread(target=ask)
        with fleet.tenancy.pool.connection() as connection:
            # The request waits for this lock, so it is under way until we let it go on.
            connection.execute("LOCK TABLE samples IN ACCESS EXCLUSIVE MODE")
            asking.start()
            wait_until(lambda: in_progress(service.url) == 2, 60)  # the question is a request itself
            os.killpg(service.process.pid, signal.SIGTERM)
            wait_until(lambda: not accepts(settings.serve_port), 60)
            assert service.running
        asking.join()
        service.process.wait(30)
    assert answers == [200]


def in_progress(url: str) -> int:
    text = httpx.get(f"{url}/metrics", trust_env=False).text
    (line,) = [one for one in text.splitlines() if one.startswith("forewarn_http_requests_in_progress ")]
    return round(float(line.split()[1]))


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def test_an_outage_of_the_database_under_load_gives_errors_of_ours_only(fleet: Fleet) -> None:
    database = EmbeddedPostgres(fleet.settings.data_dir)
    answers: list[httpx.Response] = []
    requests = [
        ("GET", "/signals", None),
        ("GET", "/readyz", None),
        ("POST", "/feedback", {"signal_id": "a", "value": "true_positive", "by": "ada"}),
        ("POST", "/webhooks/deploys", {"service": "checkout", "at": fleet.now.isoformat()}),
        ("POST", "/detect", {"observations": [observation(fleet)]}),
    ]
    up = threading.Event()

    def ask(number: int) -> None:
        with fleet.client() as client:
            while not up.is_set():
                for method, path, body in requests[number % 5 :] + requests[: number % 5]:
                    answers.append(client.request(method, path, json=body))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    database.stop()
    time.sleep(3)
    assert httpx.get(f"{fleet.url}/livez", trust_env=False).status_code == 200
    database.start()
    wait_until_ready(fleet)
    up.set()
    for thread in threads:
        thread.join()
    failed = [answer for answer in answers if answer.status_code >= 500]
    assert {answer.status_code for answer in failed} == {503}
    for answer in failed:
        assert list(answer.json()) == ["error"]
        assert int(answer.headers["Retry-After"]) > 0
    with fleet.client() as client:
        assert client.get("/signals").status_code == 200


def observation(fleet: Fleet) -> dict[str, object]:
    return {"series_id": fleet.series["acme"][0].series_id, "ts": fleet.now.isoformat(), "value": 0.2}


def wait_until_ready(fleet: Fleet) -> None:
    wait_until(lambda: httpx.get(f"{fleet.url}/readyz", trust_env=False).status_code == 200, 60)
