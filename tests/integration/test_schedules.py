"""A cron schedule really fires: a Prefect server, a served deployment, and a run that nobody started by hand."""

from pathlib import Path

import httpx
import pytest
from prefect.client.schemas.schedules import CronSchedule
from servers.prefect_server import prefect_server, running, wait_until

from flows.schedules import deployments

#: Every minute, on a flow that needs neither a database nor a model; it goes on until there is a file.
PROGRAM = """
import time
from pathlib import Path
from prefect import flow, serve
from prefect.schedules import Cron
from flows.schedules import ONE_AT_A_TIME

@flow(name="tick")
def tick() -> None:
    while not Path("STOP").exists():
        time.sleep(0.2)

if __name__ == "__main__":
    schedule = Cron("* * * * *", timezone="UTC")
    serve(tick.to_deployment(name="acme", schedule=schedule, concurrency_limit=ONE_AT_A_TIME), pause_on_shutdown=False)
"""


def test_every_flow_is_deployed_for_its_tenant_with_its_own_schedule() -> None:
    made = {deployment.flow_name: deployment for deployment in deployments("acme")}
    assert set(made) == {"nightly", "weekly", "watch", "main-job"}
    assert all(deployment.parameters == {"tenant": "acme"} for deployment in made.values())
    crons: dict[str | None, list[str]] = {}
    for name, deployment in made.items():
        schedules = [one.schedule for one in deployment.schedules or ()]
        crons[name] = [one.cron for one in schedules if isinstance(one, CronSchedule)]
        assert len(crons[name]) == len(schedules)
    assert crons == {
        "nightly": ["17 2 * * *"],
        "weekly": ["43 3 * * 0"],
        "watch": [],  # in a process that stays
        "main-job": [],
    }


@pytest.mark.timeout(300)
def test_a_cron_schedule_fires_by_itself_and_what_falls_due_meanwhile_is_left_out(tmp_path: Path) -> None:
    script = tmp_path / "tick.py"
    script.write_text(PROGRAM.replace("STOP", str(tmp_path / "stop")))
    with prefect_server(tmp_path) as (api, environment), running([str(script)], environment, tmp_path):
        wait_until(lambda: "RUNNING" in _states(api), 150)
        (deployment,) = httpx.post(f"{api}/deployments/filter", json={}).json()
        httpx.post(f"{api}/deployments/{deployment['id']}/create_flow_run", json={}).raise_for_status()
        wait_until(lambda: "CANCELLED" in _states(api, auto_scheduled=False), 60)
        (tmp_path / "stop").touch()
        wait_until(lambda: "COMPLETED" in _states(api), 60)


def _states(api: str, *, auto_scheduled: bool = True) -> list[str]:
    """Of the runs that a schedule made, or others."""
    answer = httpx.post(f"{api}/flow_runs/filter", json={"flows": {"name": {"any_": ["tick"]}}})
    return [run["state_type"] for run in answer.json() if run["auto_scheduled"] is auto_scheduled]
