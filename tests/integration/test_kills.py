"""A job that is killed, runs twice at once or fills its disk leaves, started again, the state of an undisturbed run."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from any_float import soaking
from fakes.queue_messages import GARBAGE, of_json
from fakes.receiver import Receiver
from fakes.signals import make_signal
from integration.test_ingest import fleet
from integration.test_receivers import ids_of
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr
from servers import kills, victims
from servers.bench import Bench, Undisturbed, finish, undisturbed
from servers.commands import Forewarn
from servers.kills import FAILED, Place, moments, run
from servers.postgres import scratch_folder
from servers.queues import broker
from servers.small_disk import small_disk

from core.domain import Severity
from core.settings import Settings
from pipelines.plots.breach_and_capacity import save
from pipelines.processes.server_process import free_port
from pipelines.stores.embedded import EmbeddedPostgres
from pipelines.wiring import open_platform

#: Kills of each victim: about ten in all in a usual run, and a hundred in `make soak`.
KILLS = int(os.environ.get("FOREWARN_KILLS", "12" if soaking() else "1"))
SEED = int(os.environ.get("FOREWARN_KILL_SEED", "17"))
CASES = Path(__file__).parents[1] / "cases" / "servers"

pytestmark = [pytest.mark.timeout(3600), pytest.mark.many_examples]


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    kills.warm_up()
    with scratch_folder("kills") as folder:
        server = EmbeddedPostgres(folder)
        home = folder / "home"
        home.mkdir()
        settings = Settings(
            _env_file=None,
            tenant=victims.TENANT,
            database_url=SecretStr(make_conninfo(server.start(), dbname="job")),
            data_dir=home / "data",
            mlruns_dir=home / "mlruns",
            workers=1,
        )
        made = Bench(server, Place(settings, home), folder / "states")
        made.create()
        try:
            yield made
        finally:
            server.start()
            server.stop()


@pytest.fixture(scope="module")
def simulated(bench: Bench) -> Undisturbed:
    return undisturbed(bench, "empty", victims.simulate)


@pytest.fixture(scope="module")
def night(bench: Bench, simulated: Undisturbed) -> Undisturbed:
    return undisturbed(bench, simulated.end, victims.nightly)


@pytest.fixture(scope="module")
def training(bench: Bench, night: Undisturbed) -> Undisturbed:
    return undisturbed(bench, night.end, victims.train)


@pytest.fixture(scope="module")
def promotion(bench: Bench, training: Undisturbed) -> Undisturbed:
    return undisturbed(bench, training.end, victims.promotion)


def kill_again_and_again(bench: Bench, once: Undisturbed, check: Callable[[int], None] | None = None) -> None:
    """Run a job with kills until its end; it must leave the state of the undisturbed run.

    Args:
        check: called with the number of kills after each run that was left to end.
    """
    began = time.monotonic()
    rng = random.Random(f"{SEED} {once.job.__name__}")
    left = KILLS
    while left > 0:
        bench.restore(once.start)
        planned = list(moments(rng, once.usual, min(left, 2)))
        killed = sum(run(once.job, bench.place, moment).killed for moment in planned)
        finish(bench, once.job)
        assert bench.state() == once.state, planned
        if check:
            check(killed)
        left -= len(planned)
    print(f"{once.end}: {once.usual}, {KILLS} kills in {time.monotonic() - began:.1f} s")


def test_a_killed_ingest_of_files(bench: Bench) -> None:
    bench.restore("empty")
    fleet(bench.place.home / "input")
    bench.save("files")
    once = undisturbed(bench, "files", victims.ingest_files)
    kill_again_and_again(bench, once)
    two_at_once(bench, once)
    assert len(kills.tables(bench.dsn("job"))["samples"]) == 3001


def test_a_killed_pull(bench: Bench, tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, str(CASES / "prometheus_that_answers_otherwise.py"), str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as prometheus_like:
        try:
            wait_for_port(port)
            with_settings(bench, prometheus_url=f"http://127.0.0.1:{port}/plain", prometheus_since_h=150.0)
            kill_again_and_again(bench, undisturbed(bench, "empty", victims.pull_metrics))
        finally:
            prometheus_like.kill()
    assert len(kills.tables(bench.dsn("job"))["samples"]) > 1_000


def test_a_killed_receiver_of_remote_write(bench: Bench) -> None:
    kill_again_and_again(bench, undisturbed(bench, "empty", victims.receive_remote_write))
    assert len(kills.tables(bench.dsn("job"))["samples"]) == 4 * 4 * victims.REQUESTS - 3


#: Pub/Sub does not repeat what was acknowledged, so its state cannot be set back here; test_pubsub.py has its kills.
@pytest.mark.parametrize("kind", ["kafka", "redis", "nats", pytest.param("kinesis", marks=pytest.mark.soak)])
def test_a_killed_consumer_of_a_queue(bench: Bench, tmp_path: Path, kind: str) -> None:
    before = bench.place
    with broker(kind, tmp_path) as server:
        server.send([GARBAGE if n % 10 == 9 else of_json(n) for n in range(60)])
        with_settings(bench, queues=(SecretStr(f"{server.url}format=json"),))
        kill_again_and_again(bench, undisturbed(bench, "empty", victims.consume_queue))
    bench.place = before
    left = kills.tables(bench.dsn("job"))
    assert (len(left["samples"]), len(left["dead_letters"])) == (54, 6)


def test_a_killed_night(bench: Bench, night: Undisturbed) -> None:
    kill_again_and_again(bench, night)


def test_a_killed_training(bench: Bench, training: Undisturbed) -> None:
    kill_again_and_again(bench, training)


def test_a_killed_promotion(bench: Bench, promotion: Undisturbed) -> None:
    kill_again_and_again(bench, promotion)


def test_a_killed_watch_cycle(bench: Bench, promotion: Undisturbed) -> None:
    with receiving(bench) as receiver:
        once = undisturbed(bench, promotion.end, victims.watch)
        check = arrived(receiver)
        check(0)
        kill_again_and_again(bench, once, check)
        two_at_once(bench, once)
        check(0)


def test_a_clock_that_goes_back_an_hour_and_forward_again(bench: Bench, promotion: Undisturbed) -> None:
    hour = timedelta(hours=1)
    with receiving(bench) as receiver:
        found = []
        for times in ([victims.END] * 2, [victims.END, victims.END - hour, victims.END]):
            bench.restore(promotion.end)
            receiver.requests.clear()
            for at in times:
                done = run(victims.watch, replace(bench.place, at=at))
                assert done.code == 0, bench.place.log.read_text()[-3000:]
            found.append((bench.state(), sorted((one.path, ids_of(one)) for one in receiver.requests)))
    (usual, usual_messages), (disturbed, messages) = found
    assert messages == usual_messages
    assert disturbed["status"] == usual["status"]
    tables = {name for name in usual["tables"] if disturbed["tables"][name] != usual["tables"][name]}
    assert tables <= {"forecasts", "signals"}, "forecasts of an hour ago are kept too"
    # The values of a long anomaly depend on the window in which it was scored last.
    assert [row[:8] for row in disturbed["tables"]["signals"]] == [
        row[:8] for row in usual["tables"]["signals"]
    ]


def test_a_killed_delivery(bench: Bench) -> None:
    bench.restore("empty")
    with open_platform(bench.place.settings) as platform:
        worst = dict.fromkeys(range(0, 40, 3), Severity.CRITICAL)
        platform.store.signals.upsert(
            [
                make_signal(
                    f"s{n}",
                    service=f"svc{n}",
                    tenant=victims.TENANT,
                    severity=worst.get(n, Severity.WARNING),
                    started_at=victims.END,
                    ended_at=victims.END if n % 5 == 0 else None,
                )
                for n in range(40)
            ]
        )
    bench.save("signals")
    with receiving(bench) as receiver:
        once = undisturbed(bench, "signals", victims.deliveries)
        check = arrived(receiver)
        check(0)
        kill_again_and_again(bench, once, check)


def test_a_killed_postgresql(bench: Bench, night: Undisturbed) -> None:
    rng = random.Random(SEED)
    for _ in range(KILLS):
        bench.restore(night.start)
        job = kills.start(night.job, bench.place)
        time.sleep(rng.uniform(0, night.usual.seconds))
        pid = bench.server.status().pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        job.join()
        assert job.exitcode in {0, FAILED}, bench.place.log.read_text()[-3000:]
        bench.server.start()
        finish(bench, night.job)
        assert "Traceback" not in bench.place.log.read_text()
        assert bench.state() == night.state


@pytest.mark.parametrize("name", ["night", "promotion", pytest.param("training", marks=pytest.mark.soak)])
def test_two_at_once_leave_the_state_of_one(bench: Bench, request: pytest.FixtureRequest, name: str) -> None:
    two_at_once(bench, request.getfixturevalue(name))


def two_at_once(bench: Bench, once: Undisturbed) -> None:
    """Start a job twice; the second one waits for the first, and gives up when that takes long."""
    bench.restore(once.start)
    both = [kills.start(once.job, bench.place) for _ in range(2)]
    for job in both:
        job.join()
    codes, printed = sorted(job.exitcode for job in both), bench.place.log.read_text()
    assert codes == [0, 0] or (codes == [0, FAILED] and "It does the same job; run this again" in printed), (
        printed
    )
    assert bench.state() == once.state


def test_a_night_on_a_full_disk(bench: Bench, simulated: Undisturbed, night: Undisturbed) -> None:
    with scratch_folder("full") as folder, small_disk(folder / "disk", 160) as disk:
        server = EmbeddedPostgres(disk.path / "data")
        dsn = server.start()
        try:
            changes = {"database_url": None, "data_dir": disk.path / "data"}
            place = replace(bench.place, settings=bench.place.settings.model_copy(update=changes))
            for job, expected in ((simulated.job, simulated.state), (night.job, night.state)):
                checkpoint(dsn)  # a later one could remove files, and so make space
                disk.fill(leave=50_000)
                assert sentence_of_failure(place, job).startswith(
                    f"the disk of {disk.path}/data is full. Free space on it, or set FOREWARN_DATA_DIR"
                )
                disk.free()
                assert run(job, place).code == 0, place.log.read_text()[-3000:]
                assert kills.tables(dsn) == expected["tables"]
        finally:
            server.stop()


def checkpoint(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CHECKPOINT")


@pytest.mark.soak
def test_a_training_on_a_full_disk(bench: Bench, training: Undisturbed) -> None:
    bench.restore(training.start)
    with small_disk(bench.place.home / "models", 10) as disk:
        shutil.copy(bench.place.settings.mlruns_dir / "mlflow.db", disk.path)
        settings = bench.place.settings.model_copy(update={"mlruns_dir": disk.path})
        place = replace(bench.place, settings=settings)
        disk.fill(leave=100_000)
        assert sentence_of_failure(place, training.job).startswith(
            f"the disk of {disk.path} is full. Free space on it, or set FOREWARN_MLRUNS_DIR"
        )
        assert kills.models(settings)["versions"] == []
        disk.free()
        assert run(training.job, place).code == 0, place.log.read_text()[-3000:]
        assert kills.models(settings) == training.state["models"]


def sentence_of_failure(place: Place, job: Callable[[Place], None]) -> str:
    """The one sentence with which a job ends."""
    place.log.write_text("")
    assert run(job, place).code == FAILED, place.log.read_text()[-3000:]
    printed = place.log.read_text().strip()
    assert "Traceback" not in printed
    (line,) = [line for line in printed.splitlines() if line.startswith("error: ")]
    return line.removeprefix("error: ")


def test_a_plot_on_a_full_disk_is_not_half_written(tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    with small_disk(tmp_path / "plots", 1) as disk:
        disk.fill(leave=0)
        with pytest.raises(OSError, match="No space left"):
            save(Figure(), disk.path / "breach.png")
        assert disk.is_empty()
        disk.free()
        assert save(Figure(), disk.path / "breach.png").stat().st_size > 1_000


READ_ONLY = [
    ("status",),
    ("ingest", "simulate", "--services", "1", "--days", "1"),
    ("serve",),
    ("flows", "run", "watch"),
]


def test_each_command_names_a_read_only_folder(tmp_path: Path) -> None:
    with small_disk(tmp_path / "data", 1) as disk:
        disk.read_only()
        command = Forewarn(tmp_path)
        started = [command.start(*arguments) for arguments in READ_ONLY]
        for process, arguments in zip(started, READ_ONLY, strict=True):
            _, errors = process.communicate(timeout=200)
            assert process.returncode == 1, (arguments, errors)
            assert "Traceback" not in errors
            assert f"{disk.path}/" in errors, arguments
            assert "is on a read-only file system. Make it writable, or set FOREWARN_DATA_DIR" in errors


class receiving:  # noqa: N801 - used as a function
    """A receiver of all that a job sends, while the block lasts."""

    def __init__(self, bench: Bench) -> None:
        self._bench, self._receiver, self._before = bench, Receiver(), bench.place

    def __enter__(self) -> Receiver:
        self._receiver.up()
        url = self._receiver.url
        with_settings(self._bench, webhook_url=f"{url}/hook", slack_webhook_url=SecretStr(f"{url}/slack"))
        return self._receiver

    def __exit__(self, *failure: object) -> None:
        self._receiver.down()
        self._bench.place = self._before


def with_settings(bench: Bench, **changes: Any) -> None:
    bench.place = replace(bench.place, settings=bench.place.settings.model_copy(update=changes))


def arrived(receiver: Receiver) -> Callable[[int], None]:
    """A check that everything arrived, and that only a kill made something arrive again, with the same id."""
    undisturbed: list[Counter[tuple[str, str]]] = []

    def check(killed: int) -> None:
        got = Counter((one.path, name) for one in receiver.requests for name in ids_of(one))
        receiver.requests.clear()
        if not undisturbed:
            assert got
            undisturbed.append(got)
        assert got.keys() == undisturbed[0].keys()
        assert all(count <= undisturbed[0][key] + killed for key, count in got.items())

    return check


def wait_for_port(port: int) -> None:
    import socket

    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("the server did not start")
