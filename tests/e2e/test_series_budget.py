"""A fleet with 28,000 raw series stays within the series budget, with every golden signal."""

from pathlib import Path

import httpx
import pytest
from servers.commands import forewarn_in
from servers.prometheus import missing_programs, prometheus

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(bool(missing_programs()), reason=f"not installed: {', '.join(missing_programs())}"),
]
LARGE = ("--days", "1", "--hosts", "32", "--services", "20", "--pods", "5", "--blocks")


def test_raw_series_of_a_large_fleet_become_fewer_than_1500_signals(tmp_path: Path) -> None:
    fleet = tmp_path / "fleet"
    with forewarn_in(tmp_path) as command:
        command.run("simulate", "exporters", str(fleet), *LARGE)
        with prometheus(fleet, {}) as url:
            counted = httpx.get(
                f"{url}/api/v1/query",
                params={"query": 'count(last_over_time({job!=""}[1h]))'},
                trust_env=False,
            ).json()["data"]["result"]
            report = command.json("ingest", "prometheus", url, "--signals", "--since-h", "12")
    assert float(counted[0]["value"][1]) > 25_000
    assert 1_000 < report["series"] < 1_500
    assert not [note for note in report["notes"] if "budget" in note]  # so every golden signal is among them
