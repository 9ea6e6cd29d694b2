"""Starting and stopping: a service that cannot start says why, one that stops finishes its answers."""

import threading

import httpx
import pytest
from e2e.fleet import STEP, Fleet, free_port
from pydantic import SecretStr

from core.errors import UnavailableError
from serving.run import environment_of, serve


def test_a_port_that_is_taken_ends_the_start_with_one_sentence(fleet: Fleet) -> None:
    with pytest.raises(UnavailableError, match="is the port taken"):
        serve(fleet.settings)


def test_a_database_that_does_not_answer_ends_the_start_and_its_password_stays_secret(fleet: Fleet) -> None:
    dsn = f"postgresql://someone:hush-hush@127.0.0.1:{free_port()}/nothing"
    settings = fleet.settings.model_copy(update={"database_url": SecretStr(dsn), "serve_port": free_port()})
    with pytest.raises(UnavailableError, match="the service cannot start") as caught:
        serve(settings)
    assert "hush-hush" not in str(caught.value)
    assert "hush-hush" not in fleet.handle.log.read_text()


def test_the_child_process_gets_the_same_settings(fleet: Fleet) -> None:
    environment = environment_of(fleet.settings)
    assert environment["FOREWARN_SERVE_PORT"] == str(fleet.settings.serve_port)
    assert environment["BENTOML_DO_NOT_TRACK"] == "True"
    assert "FOREWARN_DATABASE_URL" not in environment


def test_a_request_under_way_is_answered_before_the_service_ends(fleet: Fleet) -> None:
    settings = fleet.settings.model_copy(update={"serve_port": free_port(), "max_body_bytes": 5_000_000})
    points = [{"ts": (fleet.now - STEP * n).isoformat(), "value": 0.2} for n in range(10_000)]
    body = {"series": [{"series_id": fleet.series["acme"][0].series_id, "points": points}]}
    answers: list[int] = []
    with serve(settings) as handle:

        def ask() -> None:
            with fleet.client() as client:
                answers.append(client.post(f"{handle.url}/detect_batch", json=body).status_code)

        asking = threading.Thread(target=ask)
        asking.start()
        # The question about the requests under way is one itself.
        while "in_progress 2.0" not in httpx.get(f"{handle.url}/metrics", trust_env=False).text:
            assert asking.is_alive(), "the request was over too soon to be interrupted"
        handle.stop()
        asking.join()
        assert not handle.running
    assert answers == [200]
