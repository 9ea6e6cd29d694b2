"""postgres_exporter (names and labels of version 0.11): activity, databases, locks, settings."""

import numpy as np

from core.durations import DAY_S
from pipelines.sources.simulation.exporters.clock import FloatArray
from pipelines.sources.simulation.exporters.constants import POSTGRES_SETTINGS, constants
from pipelines.sources.simulation.exporters.page import Page, labelled
from pipelines.sources.simulation.exporters.world import World

MAX_CONNECTIONS, SUPERUSER_RESERVED = 200, 3
STATES = (
    "active",
    "disabled",
    "fastpath function call",
    "idle",
    "idle in transaction",
    "idle in transaction (aborted)",
)
LOCKS = (
    "accessexclusivelock", "accesssharelock", "exclusivelock", "rowexclusivelock", "rowsharelock", "sharelock",
    "sharerowexclusivelock", "shareupdateexclusivelock", "sireadlock",
)  # fmt: skip
DATABASES = (("13757", "postgres"), ("1", "template1"), ("13756", "template0"), ("16384", "shop"))
#: Rows and blocks for each transaction.
PER_TRANSACTION = {
    "xact_commit": 1.0,
    "xact_rollback": 0.01,
    "tup_fetched": 40.0,
    "tup_returned": 250.0,
    "tup_inserted": 0.6,
    "tup_updated": 0.8,
    "tup_deleted": 0.1,
    "blks_hit": 120.0,
    "blks_read": 0.8,
    "temp_files": 0.0002,
    "temp_bytes": 900.0,
    "conflicts": 0.0,
    "deadlocks": 0.0,
}
SETTINGS = {
    "max_connections": MAX_CONNECTIONS,
    "superuser_reserved_connections": SUPERUSER_RESERVED,
    "shared_buffers_bytes": 4294967296,
    "effective_cache_size_bytes": 12884901888,
    "work_mem_bytes": 4194304,
    "maintenance_work_mem_bytes": 67108864,
    "max_wal_size_bytes": 1073741824,
    "checkpoint_timeout_seconds": 300,
    "checkpoint_completion_target": 0.9,
    "autovacuum": 1,
    "autovacuum_max_workers": 3,
    "max_worker_processes": 8,
    "random_page_cost": 4,
    "statement_timeout_seconds": 0,
    "wal_segment_size_bytes": 16777216,
    "fsync": 1,
}


def connections(world: World) -> dict[str, FloatArray]:
    """Connections to the database of the shop by state; an exhausted pool holds idle transactions."""
    load = world.relative_load
    rng = world.chunk.rng("postgres", "connections")
    active = rng.poisson(3 + 5 * load).astype(np.float64)
    idle = np.round(24 + 14 * load * world.chunk.wobble("postgres idle", 0.04))
    leaking = rng.poisson(0.6 * load + 0.2).astype(np.float64)
    room = MAX_CONNECTIONS - SUPERUSER_RESERVED - 4 - active - idle - leaking
    leaking = leaking + np.round(world.rise("pool_exhaustion") * np.clip(room, 0, None))
    return {"active": active, "idle": idle, "idle in transaction": leaking}


def show_postgres(page: Page, world: World, server: str) -> None:
    """Add everything that postgres_exporter exposes of the server."""
    states = connections(world)
    rise = world.rise("pool_exhaustion")
    rate = (world.total_traffic * 2.5 + 2) * np.where(world.impact("pool_exhaustion"), 0.4, 1.0)
    rate = rate + 1500 * world.batch()
    page.gauges({"pg_up": 1, "pg_exporter_last_scrape_error": 0})
    page.gauge("pg_exporter_last_scrape_duration_seconds", 0.05 * world.chunk.wobble("pg scrape", 0.2))
    page.counter("pg_exporter_scrapes_total", 1)
    page.gauge(
        "pg_static", 1, labelled(server=server, short_version="15.6.0", version="PostgreSQL 15.6"), "untyped"
    )
    for identity, name in DATABASES:
        _show_database(page, world, labelled(datid=identity, datname=name, server=server), name, rate, states)
        for state in STATES:
            labels = labelled(datname=name, server=server, state=state)
            count = (
                states.get(state, 0.0) if name == "shop" else float(name == "postgres" and state == "active")
            )
            oldest = 0.02 + 600 * rise if name == "shop" and state == "idle in transaction" else 0.0
            page.gauge("pg_stat_activity_count", count, labels)
            page.gauge("pg_stat_activity_max_tx_duration", oldest, labels)
        for mode in LOCKS:
            busy = states["active"] * (3.0 if mode == "accesssharelock" else 0.5)
            held = busy if name == "shop" and mode in ("accesssharelock", "rowexclusivelock") else 0.0
            page.gauge("pg_locks_count", np.round(held), labelled(datname=name, mode=mode, server=server))
    for setting, value in SETTINGS.items():
        page.gauge(f"pg_settings_{setting}", value, labelled(server=server))
    if world.company.size.is_complete:
        page.gauges(constants(POSTGRES_SETTINGS, "pg_settings_"), labelled(server=server))
    page.counter(
        "pg_stat_archiver_archived_count", np.floor(rate * 0.02), labelled(server=server), since="server"
    )
    page.counter("pg_stat_archiver_failed_count", 0, labelled(server=server), since="server")


def _show_database(
    page: Page, world: World, labels: str, name: str, rate: FloatArray, states: dict[str, FloatArray]
) -> None:
    is_shop = name == "shop"
    backends = sum(states.values(), np.zeros(world.steps)) if is_shop else float(name == "postgres")
    page.gauge("pg_stat_database_numbackends", backends, labels)
    rng = world.chunk.rng("postgres", name)
    for counted, each in PER_TRANSACTION.items():
        mean = rate * each * world.chunk.step_s if is_shop else 0.2 * each * world.chunk.step_s + 0.0 * rate
        page.counter(
            f"pg_stat_database_{counted}", rng.poisson(mean).astype(np.float64), labels, since="server"
        )
    for counted in ("blk_read_time", "blk_write_time"):
        page.counter(f"pg_stat_database_{counted}", rate * 0.01 if is_shop else 0.0, labels, since="server")
    size = 7.6e6 + (2e10 + 4e7 * (world.chunk.times - world.timeline.start) / DAY_S) * is_shop
    page.gauge("pg_database_size_bytes", np.round(size / 8192) * 8192, labels.split(",", 1)[1])
