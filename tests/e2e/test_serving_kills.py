"""`kill -9` of the running service while samples are pushed: the sender repeats what was not acknowledged."""

import random
import threading
import time
from contextlib import closing
from datetime import UTC, datetime

import pytest
from e2e.fleet import Fleet
from e2e.soak_sizes import SERVICE_KILLS, SOAK_SERVICE_KILLS
from e2e.stored_load import assert_all_stored
from servers.load import SAMPLES_A_REQUEST, STEP_S, Address, Client, Shard, post
from servers.service import environment_of

from flows.service_process import start_service
from pipelines.processes.server_process import free_port
from pipelines.stores.store import Store

HEADERS = "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n"


def assert_nothing_is_lost_or_doubled(fleet: Fleet, kills: int) -> None:
    rng = random.Random(7)
    tenant = f"killed_{time.time_ns()}"
    start = datetime.fromtimestamp(time.time() // STEP_S * STEP_S - 24 * 3_600, UTC)
    settings = fleet.settings.model_copy(update={"serve_port": free_port()})
    address = Address(settings.serve_port, fleet.tenancy.keys.create(tenant))
    shard = Shard(0, round(start.timestamp()) * 1_000)
    stored = 0
    for _ in range(kills):
        with start_service(settings, env=environment_of(settings)) as service:
            killer = threading.Timer(rng.uniform(0.2, 2.0), service.process.kill)
            killer.start()
            stored = push_until_killed(address, shard, stored)
            killer.join()
    with start_service(settings, env=environment_of(settings)), closing(Client(address)) as client:
        push_one(client, address, shard, stored)
    assert_all_stored(Store(fleet.tenancy.pool, tenant), 0, SAMPLES_A_REQUEST * (stored + 1), start)


def push_until_killed(address: Address, shard: Shard, number: int) -> int:
    """Send requests from this number on; returns the number of the one that was not acknowledged."""
    with closing(Client(address)) as client:
        while True:
            try:
                push_one(client, address, shard, number)
            except OSError:
                return number
            number += 1


def push_one(client: Client, address: Address, shard: Shard, number: int) -> None:
    status, _, body = client.ask(post(address, "/api/v1/write", shard.body(number), HEADERS))
    assert status == 204, body


def test_a_killed_service_loses_and_doubles_nothing_that_is_pushed(fleet: Fleet) -> None:
    assert_nothing_is_lost_or_doubled(fleet, SERVICE_KILLS)


@pytest.mark.soak
def test_a_service_that_is_killed_again_and_again_loses_and_doubles_nothing(fleet: Fleet) -> None:
    assert_nothing_is_lost_or_doubled(fleet, SOAK_SERVICE_KILLS)
