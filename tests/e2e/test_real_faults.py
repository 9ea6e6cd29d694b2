"""Six faults caused for real on real servers, watched by `forewarn watch` as a stranger starts it."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from servers.commands import Forewarn, forewarn_in
from servers.postgres import scratch_folder
from servers.real_fleet import DISK_MB, MOST_CONNECTIONS, REDIS_MB, RealFleet, missing_programs, real_fleet
from servers.recorded_history import repeat_into_past

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(bool(missing_programs()), reason=f"not installed: {', '.join(missing_programs())}"),
]
#: The servers run so long before their record becomes a history.
RECORD_MIN = float(os.environ.get("SOAK_RECORD_MIN", "12"))
#: After learning, nothing happens for so long, and nothing may be found.
QUIET_MIN = float(os.environ.get("SOAK_QUIET_MIN", "15"))
FAULTS_MIN = float(os.environ.get("SOAK_FAULTS_MIN", "45"))
#: Then all is mended, and every finding must end within so long.
RECOVERY_MIN = float(os.environ.get("SOAK_RECOVERY_MIN", "45"))
DAYS = 8.0


@dataclass
class Trial:
    fleet: RealFleet
    command: Forewarn
    calm_until: datetime
    signals: list[dict[str, Any]]
    open_after_recovery: list[dict[str, Any]]
    printed: str

    def found(self, service: str, *metrics: str) -> list[dict[str, Any]]:
        mine = [one for one in self.signals if one["service"] == service]
        return [one for one in mine if (one["metric"] or "").startswith(metrics)]


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    home = tmp_path_factory.mktemp("watcher")
    with scratch_folder("fleet") as folder, real_fleet(folder) as fleet:
        time.sleep(60 * RECORD_MIN)
        repeat_into_past(fleet.prometheus_url, folder, minutes=RECORD_MIN - 1, days=DAYS)
        fleet.kill("prometheus")
        fleet.start_prometheus()
        with forewarn_in(home) as command:
            log = home / "watch.log"
            watch = command.start_logged(log, "watch", fleet.prometheus_url, "--since-d", str(DAYS))
            try:
                _wait_for(log, "next cycle at", 1_200)
                time.sleep(60 * QUIET_MIN)
                calm_until = datetime.now(UTC)
                _break(fleet, FAULTS_MIN)
                signals = _signals(command)
                fleet.mend()
                time.sleep(60 * RECOVERY_MIN)
                still_open = [one for one in _signals(command) if one["ended_at"] is None]
            finally:
                watch.terminate()
                watch.wait(120)
            yield Trial(fleet, command, calm_until, signals, still_open, log.read_text())


def _signals(command: Forewarn) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = command.json("signals", "list", "--limit", "1000")
    return found


def _wait_for(log: Path, text: str, seconds: float) -> None:
    until = time.monotonic() + seconds
    while text not in log.read_text():
        assert time.monotonic() < until, log.read_text()
        time.sleep(2)


def _break(fleet: RealFleet, minutes: float) -> None:
    """The faults: gradual ones all the time, errors in the first third, and then a slow release."""
    rounds = int(minutes * 2)
    fleet.kill("nginx_exporter")
    fleet.break_shop(errors=0.3)
    for number in range(rounds):
        fleet.write_to_disk(0.58 * DISK_MB / rounds)
        fleet.write_to_redis(0.9 * REDIS_MB / rounds)
        fleet.take_connections(2 if len(fleet.held) < MOST_CONNECTIONS - 15 else 0)
        if number == rounds // 3:
            fleet.break_shop()
        if number == rounds // 2:
            fleet.start_shop(2)
        time.sleep(30)


def test_nothing_is_found_while_nothing_is_wrong(trial: Trial) -> None:
    early = [one for one in trial.signals if datetime.fromisoformat(one["started_at"]) < trial.calm_until]
    assert not early, early


def test_the_filling_disk_is_named(trial: Trial) -> None:
    found = [one for one in trial.signals if one["metric"] == "filesystem_used_ratio"]
    assert {one["labels"]["mountpoint"] for one in found} == {str(trial.fleet.disk)}


def test_the_leak_is_named(trial: Trial) -> None:
    assert trial.found("redis", "redis_memory_used_ratio")


def test_the_exhausted_pool_is_named(trial: Trial) -> None:
    assert trial.found("postgres", "postgres_connections_used_ratio")


def test_the_error_burst_is_named(trial: Trial) -> None:
    assert trial.found("shop", "http_request_error_ratio")


def test_the_slow_release_is_named(trial: Trial) -> None:
    assert trial.found("shop", "http_request_duration_p50", "http_request_duration_p9")


def test_the_dead_exporter_is_named(trial: Trial) -> None:
    assert trial.found("nginx", "up")


def test_every_finding_ends_after_all_is_mended(trial: Trial) -> None:
    assert not trial.open_after_recovery, trial.open_after_recovery
