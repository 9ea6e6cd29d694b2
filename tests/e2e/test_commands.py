"""The command line, from an empty folder to signals, in the order of a new user."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis
from data_sets import DATASETS
from fakes.queue_messages import of_json
from servers.commands import COMMAND_S, Forewarn, forewarn_in
from servers.prefect_server import prefect_server, running, wait_until
from servers.queues import broker

from pipelines.processes.server_process import start_server

# The first test waits for two commands besides its own ones, and each of them has a limit.
pytestmark = pytest.mark.timeout(3 * COMMAND_S)

END = "2026-11-01T12:00:00Z"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forewarn]:
    """A small simulated fleet after the whole main job."""
    with forewarn_in(tmp_path_factory.mktemp("fleet")) as command:
        command.json(
            "ingest", "simulate", "--services", "4", "--days", "35", "--seed", "7", "--end", END[:10]
        )
        command.run("flows", "run", "main-job", "--at", "2026-11-01")
        yield command


def test_help_lists_every_command_and_writes_nothing(tmp_path: Path) -> None:
    command = Forewarn(tmp_path)
    printed = command.run("--help")
    learning = ["features", "baseline", "train", "evaluate", "promote"]
    watching = ["detect", "forecast", "capacity", "predict", "diagnose", "signals", "feedback"]
    groups = ["demo", "db", "ingest", *learning, *watching, "serve", "flows", "keys", "status", "bench"]
    assert all(f" {name} " in printed for name in groups)
    assert list(tmp_path.iterdir()) == []


def test_the_main_job_leaves_baselines_champions_and_signals(fleet: Forewarn) -> None:
    status = fleet.json("status", code=1)  # the samples end long before the present, which is a problem
    state = {part["name"]: part["state"] for part in status["parts"]}
    assert state["samples"].startswith("32 series of 4 services")
    assert state["baselines"] == "version 1, 32 series"
    assert state["detector champion"] == "version 1"
    assert state["forecaster champion"] == "version 1"
    assert any("old" in problem for problem in status["problems"])
    signals = fleet.json("signals", "list", "--since-h", "100000")
    assert signals
    shown = fleet.json("signals", "show", signals[0]["signal_id"][:12])
    assert shown == signals[0]
    assert shown["model"]["run_id"]


def test_consume_stores_what_a_queue_brings_until_it_is_told_to_end(fleet: Forewarn, tmp_path: Path) -> None:
    with broker("redis", tmp_path) as server:
        server.send([of_json(0)])
        settings = {"FOREWARN_QUEUES": f"{server.url}format=json", "FOREWARN_TENANT": "queues"}
        command = Forewarn(fleet.home, settings)
        process = command.start("consume")
        with redis.Redis.from_url(server.url.removesuffix("/metrics?")) as client:
            wait_until(
                lambda: any(one["last-delivered-id"] != b"0-0" for one in client.xinfo_groups("metrics")), 60
            )
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 128 + signal.SIGTERM
        assert errors.strip() == f"reading {server.url}group=forewarn"
        server.send([of_json(1)])
        assert command.json("consume", "--until-empty")["inserted"] == 1


def test_capacity_lists_resources_and_a_breach_is_plotted(fleet: Forewarn, tmp_path: Path) -> None:
    found = fleet.json("capacity", "--at", "2026-11-01", "--days", "30")
    assert len(found) == 20  # CPU, memory, disk, connections and queue of four services
    sure = [one["runs_out"]["p50"] for one in found if one["probability"] >= 0.5]
    assert sure == sorted(sure)
    printed = fleet.run("capacity", "--at", "2026-11-01", "--plot", str(tmp_path / "plans"))
    assert "runs out" in printed
    assert "in 0 s" not in printed  # a resource over its limit runs out now
    breaches = fleet.json("signals", "list", "--kind", "breach", "--since-h", "100000")
    assert breaches
    fleet.run("signals", "show", breaches[0]["signal_id"], "--plot", str(tmp_path / "breach.png"))
    pictures = [*(tmp_path / "plans").glob("*.png"), tmp_path / "breach.png"]
    assert len(pictures) > 1
    assert all(picture.stat().st_size > 5_000 for picture in pictures)


def test_a_diagnosis_shows_the_factors_of_its_confidence_and_takes_feedback(fleet: Forewarn) -> None:
    printed = fleet.run("diagnose", "--at", "2026-11-01")
    assert "confidence 0." in printed
    assert "signal strength" in printed
    assert "open incidents" in printed
    shown = re.search(r", id (\w{12})", printed)
    assert shown is not None
    assert "stored: accepted: " in fleet.run("feedback", shown[1], "accepted", "--by", "kim")


def test_an_old_command_still_works_and_prints_a_notice_on_standard_error(fleet: Forewarn) -> None:
    process = fleet.start("hypotheses", "score", "--at", "2026-11-01", "--json")
    printed, errors = process.communicate(timeout=400)
    assert process.returncode == 0
    assert json.loads(printed)["records"]
    assert "deprecated: `forewarn hypotheses score`" in errors
    assert "use `forewarn diagnose`" in errors


def test_running_the_main_job_again_changes_nothing(fleet: Forewarn) -> None:
    before = fleet.json("signals", "list", "--since-h", "100000", "--limit", "10000")
    fleet.run("flows", "run", "main-job", "--at", "2026-11-01")
    after = fleet.json("signals", "list", "--since-h", "100000", "--limit", "10000")
    assert [one["signal_id"] for one in after] == [one["signal_id"] for one in before]
    state = {part["name"]: part["state"] for part in fleet.json("status", code=1)["parts"]}
    assert state["detector champion"] == "version 1", "the same data and seed must give the same model"
    assert state["forecaster champion"] == "version 1"
    assert state["failure champion"] == "version 1"


def test_ingesting_the_same_again_inserts_nothing(fleet: Forewarn) -> None:
    again = fleet.json(
        "ingest", "simulate", "--services", "4", "--days", "35", "--seed", "7", "--end", END[:10]
    )
    assert again["inserted"] == 0


def test_a_killed_run_gives_the_same_result_when_it_is_started_again(
    tmp_path: Path,
) -> None:
    with forewarn_in(tmp_path) as command:
        command.json(
            "ingest", "simulate", "--services", "2", "--days", "32", "--seed", "3", "--end", "2026-11-01"
        )
        killed = command.start("baseline", "--at", "2026-11-01")
        time.sleep(3)  # somewhere between the start and the end; wherever it is, the result must be the same
        os.killpg(killed.pid, signal.SIGKILL)
        killed.communicate()
        first = command.json("baseline", "--at", "2026-11-01")
        second = command.json("baseline", "--at", "2026-11-01")
        assert first["series"] == second["series"] == 16
        assert {k: v for k, v in first.items() if k != "version"} == {
            k: v for k, v in second.items() if k != "version"
        }


@pytest.mark.timeout(600)
def test_a_deployed_flow_runs_for_its_tenant(fleet: Forewarn, tmp_path: Path) -> None:
    with prefect_server(tmp_path) as (api, environment):
        outside = {name: value for name, value in environment.items() if name.startswith("PREFECT_")}
        with running(["-m", "flows.cli", "flows", "deploy"], {**fleet.environment, **outside}, tmp_path):
            wait_until(lambda: httpx.get(f"{api}/deployments/name/nightly/acme").is_success, 120)
            ask = ["deployment", "run", "nightly/acme", "--param", f"at={END}", "--watch"]
            asked = subprocess.run(
                [sys.executable, "-m", "prefect", *ask], env=environment, capture_output=True, text=True
            )
            assert asked.returncode == 0, asked.stdout + (tmp_path / "log").read_text()[-3000:]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("when", ["before the schedules", "with the schedules"])
def test_without_a_prefect_server_deploy_starts_one_and_stops_it_at_the_end(
    tmp_path: Path, when: str
) -> None:
    # If a schedule fires meanwhile, its run must not start a database that nobody stops.
    environment = {**Forewarn(tmp_path).environment, "FOREWARN_DATABASE_URL": "postgresql://127.0.0.1:9/none"}
    log = tmp_path / "log"
    command = [sys.executable, "-m", "flows.cli", "flows", "deploy"]
    with start_server("flows deploy", command, url="", log=log, env=environment) as deployed:

        def address() -> str | None:
            printed = re.search(r"Prefect: (http://\S+)", log.read_text())
            return printed[1] if printed else None

        def planned() -> bool:
            asked = {"flows": {"name": {"any_": ["nightly"]}}}
            password = (tmp_path / "data" / "prefect" / "password").read_text()
            with httpx.Client(base_url=f"{address()}/api", auth=("forewarn", password)) as client:
                token = client.get("/csrf-token", params={"client": "test"}).json()["token"]
                headers = {"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": "test"}
                runs = client.post("/flow_runs/filter", json=asked, headers=headers).json()
            return any(run["auto_scheduled"] for run in runs)

        wait_until(lambda: address() is not None, 200)
        if when == "with the schedules":
            wait_until(planned, 200)
        deployed.process.terminate()
        deployed.process.wait(60)
    with pytest.raises(httpx.ConnectError):
        httpx.get(str(address()))
    assert "Traceback" not in log.read_text()


def test_no_connection_left_the_machine(fleet: Forewarn) -> None:
    assert fleet.outward == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("signals", "show", "[/nope]"), "there is no signal '[/nope]'"),
        (("signals", "mark", "nope", "perhaps"), "true or false"),
        (
            ("signals", "feedback", "nope", "perhaps"),
            "'perhaps' is not one of 'true_positive', 'false_positive'",
        ),
        (("feedback", "[/nope]", "accepted"), "there is no hypothesis or diagnosis '[/nope]'"),
        (("flows", "run", "yearly"), "no flow 'yearly'; the flows are nightly"),
        (("promote", "oracle"), "no model kind 'oracle'; there are detector"),
        (("ingest", "prometheus"), "FOREWARN_PROMETHEUS_URL"),
    ],
)
def test_bad_input_ends_with_one_sentence_and_exit_code_2(
    fleet: Forewarn, arguments: tuple[str, ...], message: str
) -> None:
    printed = fleet.run(*arguments, code=2)
    assert message in " ".join(printed.replace("│", " ").split())
    assert "Traceback" not in printed


def test_cloudwatch_metrics_of_files_go_through_the_main_job(tmp_path: Path) -> None:
    folder = DATASETS / "nab" / "data" / "realAWSCloudwatch"
    if not folder.is_dir():
        pytest.skip(f"the NAB data set is not in {DATASETS}; set FOREWARN_DATASETS")
    with forewarn_in(tmp_path) as command:
        report = command.json("ingest", "csv", str(folder))
        assert report["series"] == 17
        assert report["inserted"] > 60_000
        command.run("flows", "run", "main-job", "--at", "2014-02-24T22:00:00Z")
        signals = command.json("signals", "list", "--since-h", "1000000", "--limit", "1000")
        signals += command.json("signals", "list", "--since-h", "1000000", "--limit", "1000", "--suppressed")
        assert "ec2_5f5533" in {signal["service"] for signal in signals}
        assert all(signal["summary"] and signal["filters"] and signal["model"] for signal in signals)
