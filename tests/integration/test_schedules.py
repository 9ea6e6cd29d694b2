"""A cron schedule really fires: a Prefect server, a served deployment, and a run that nobody started by hand."""

from pathlib import Path

import httpx
import pytest
from prefect.client.schemas.schedules import CronSchedule
from servers.prefect_server import prefect_server, running, wait_until

from flows.schedules import deployments

#: Every minute, on a flow that needs neither a database nor a model.
PROGRAM = """
from prefect import flow, serve
from prefect.schedules import Cron

@flow(name="tick")
def tick() -> None:
    pass

if __name__ == "__main__":
    serve(tick.to_deployment(name="acme", schedule=Cron("* * * * *", timezone="UTC")), pause_on_shutdown=False)
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
        "watch": ["*/5 * * * *"],
        "main-job": [],
    }


@pytest.mark.timeout(300)
def test_a_cron_schedule_fires_by_itself(tmp_path: Path) -> None:
    script = tmp_path / "tick.py"
    script.write_text(PROGRAM)
    with prefect_server(tmp_path) as (api, environment), running([str(script)], environment, tmp_path):
        wait_until(lambda: _completed(api) > 0, 150)


def _completed(api: str) -> int:
    """Runs that a schedule made and that ended well."""
    answer = httpx.post(f"{api}/flow_runs/filter", json={"flows": {"name": {"any_": ["tick"]}}})
    return sum(run["state_type"] == "COMPLETED" and run["auto_scheduled"] for run in answer.json())
