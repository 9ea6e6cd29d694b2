"""The weekly flow trains the same models on processes, on Dask and on Ray; three trainings share one cluster."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from servers.commands import ROOT, Forewarn, forewarn_in

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

END = "2026-11-01"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forewarn]:
    """A small fleet whose models were trained on processes of this machine."""
    with forewarn_in(tmp_path_factory.mktemp("cluster")) as command:
        command.json("ingest", "simulate", "--services", "4", "--days", "12", "--seed", "7", "--end", END)
        command.run("features", "build", "--at", END)
        command.run("baseline", "--at", END)
        command.run("flows", "run", "weekly", "--at", END)
        yield command


@pytest.mark.parametrize("compute", ["dask", "ray"])
def test_the_same_models_are_trained_on_a_cluster(trained: Forewarn, compute: str) -> None:
    pytest.importorskip(f"prefect_{compute}")
    before = _champions(trained)
    assert before["detector champion"] == before["forecaster champion"] == "version 1"
    # Without the guard of outward connections: Ray's own processes talk over the address of the machine.
    settings = {"FOREWARN_COMPUTE": compute, "FOREWARN_WORKERS": "2", "PYTHONPATH": str(ROOT)}
    on_cluster = replace(trained, settings=settings)
    on_cluster.run("flows", "run", "weekly", "--at", END)
    assert _champions(trained) == before, "models with other files would be a new version"


def _champions(command: Forewarn) -> dict[str, str]:
    parts = command.json("status", code=1)[
        "parts"
    ]  # the samples end long before the present, which is a problem
    return {part["name"]: part["state"] for part in parts if part["name"].endswith("champion")}
