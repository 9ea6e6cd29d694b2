"""The jobs that `servers.kills` runs and kills."""

from contextlib import AbstractContextManager, suppress
from datetime import timedelta

import boto3  # noqa: F401  imported before the forks, which then need no time for it
from fakes.remote_write import T0, compressed, time_series
from servers.kills import Place

from core.clock import FixedClock
from core.errors import ModelUnavailableError
from pipelines.collect.consume import drain
from pipelines.collect.ingest import ingest
from pipelines.collect.pull import pull
from pipelines.collect.push import store_remote_write
from pipelines.common.tenant_platform import Platform
from pipelines.learn import baseline, features, promote, train_detectors, train_forecasters
from pipelines.operate.retention import apply_retention
from pipelines.processes.threads import one_thread_in_a_process
from pipelines.sources import files, prometheus, text_files
from pipelines.sources.csv_files import CsvFiles
from pipelines.sources.queues import kafka, kinesis, nats_jetstream, redis_streams
from pipelines.sources.queues.configured import configured_queues
from pipelines.sources.remote_write import RemoteWriteReceiver
from pipelines.sources.simulated import SimulatedFleet
from pipelines.watch import deliver, detect, diagnose, forecast, predict_failure
from pipelines.wiring import open_platform

TENANT = "acme"
END = T0 + timedelta(days=9)

one_thread_in_a_process()


def simulate(place: Place) -> None:
    with _platform(place) as platform:
        ingest(platform, SimulatedFleet(services=1, days=8, seed=7, end=END, tenant=TENANT))


def ingest_files(place: Place) -> None:
    # Small pieces and batches, so that a kill falls between or inside many transactions.
    text_files.CHUNK_BYTES, files.BATCH_ROWS = 4_000, 300
    with _platform(place) as platform:
        ingest(platform, CsvFiles(place.home / "input", tenant=TENANT))


def pull_metrics(place: Place) -> None:
    prometheus.BATCH_ROWS = 300
    with _platform(place) as platform:
        pull(platform)


def receive_remote_write(place: Place) -> None:
    """Store requests as the service does. The sender repeats each request that was not acknowledged."""
    with _platform(place) as platform:
        for number in range(REQUESTS):
            acknowledged = place.home / "input" / f"acknowledged-{number}"
            if not acknowledged.exists():
                receiver = RemoteWriteReceiver(TENANT)
                store_remote_write(platform, receiver, _request(number), lambda batch: batch)
                acknowledged.touch()


def consume_queue(place: Place) -> None:
    # Small fetches, so that a kill falls between or inside many transactions.
    kafka.MAX_MESSAGES = nats_jetstream.MAX_MESSAGES = redis_streams.MAX_ENTRIES = kinesis.MAX_RECORDS = 7
    kinesis.PAUSE_S = 0.0
    with _platform(place) as platform:
        (queue,) = configured_queues(place.settings)
        drain(platform, queue)


def nightly(place: Place) -> None:
    with _platform(place) as platform:
        features.build_features(platform)
        features.materialize(platform)
        baseline.build_baselines(platform)
        apply_retention(platform)


def train(place: Place) -> None:
    with _platform(place) as platform:
        train_detectors.train_detectors(platform)
        train_forecasters.train_forecasters(platform)


def promotion(place: Place) -> None:
    with _platform(place) as platform:
        promote.promote(platform)


def watch(place: Place) -> None:
    with _platform(place) as platform:
        detect.detect(platform)
        forecast.forecast(platform)
        with suppress(ModelUnavailableError):
            predict_failure.predict_failure(platform)
        diagnose.diagnose(platform)
        deliver.deliver(platform)


def deliveries(place: Place) -> None:
    with _platform(place) as platform:
        deliver.deliver(platform)


REQUESTS = 25


def _request(number: int) -> bytes:
    """Four counts and four values of each of three series; the one without a name is rejected."""
    at = [60 * number + 15 * step for step in range(4)]
    hits = {f"hits_{name}_total": [(at_s, 100.0 + 3 * at_s) for at_s in at] for name in "abc"}
    depth = {"depth": [(at_s, float(at_s % 7)) for at_s in at], "": [(at[0], 1.0)]}
    series = {**hits, **depth}
    return compressed(
        *(time_series({"__name__": name, "job": "shop"} if name else {"job": "shop"}, samples)
          for name, samples in series.items())
    )  # fmt: skip


def _platform(place: Place) -> AbstractContextManager[Platform]:
    return open_platform(place.settings, clock=FixedClock(place.at or END))
