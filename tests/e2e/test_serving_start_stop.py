"""Starting and stopping: a service that cannot start says why, one that stops finishes its answers."""

import subprocess
import sys
import threading

import httpx
from e2e.fleet import STEP, Fleet
from pydantic import SecretStr
from servers.service import environment_of

from core.settings import Settings
from flows.processes import free_port, start_service


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
    settings = fleet.settings.model_copy(update={"serve_port": free_port(), "max_body_bytes": 5_000_000})
    points = [{"ts": (fleet.now - STEP * n).isoformat(), "value": 0.2} for n in range(10_000)]
    body = {"series": [{"series_id": fleet.series["acme"][0].series_id, "points": points}]}
    answers: list[int] = []
    with start_service(settings, env=environment_of(settings)) as service:

        def ask() -> None:
            with fleet.client() as client:
                answers.append(client.post(f"{service.url}/detect_batch", json=body).status_code)

        asking = threading.Thread(target=ask)
        asking.start()
        # The question about the requests under way is one itself.
        while "in_progress 2.0" not in httpx.get(f"{service.url}/metrics", trust_env=False).text:
            assert asking.is_alive(), f"the request was over too soon to be interrupted: {answers}"
        service.stop()
        asking.join()
        assert not service.running
    assert answers == [200]
