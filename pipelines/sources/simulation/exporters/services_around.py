"""redis_exporter 1.45, nginx-prometheus-exporter 0.11, kafka_exporter and Prometheus itself."""

import numpy as np

from core.durations import DAY_S
from pipelines.sources.simulation.exporters.clock import FloatArray
from pipelines.sources.simulation.exporters.company import Company
from pipelines.sources.simulation.exporters.constants import REDIS, constants
from pipelines.sources.simulation.exporters.go_process import show_go
from pipelines.sources.simulation.exporters.page import Page, labelled
from pipelines.sources.simulation.exporters.world import World

GIB = 2.0**30
MAX_MEMORY = 4 * GIB
COMMANDS = {"get": 1.6, "set": 0.5, "expire": 0.2, "del": 0.05, "ping": 0.01, "info": 0.002}
PARTITIONS = 3
#: A lagging group is at most so many seconds behind, and by at most this share of the time since its cause began.
MOST_LAG_S, LAG_SHARE = 3600.0, 0.3
#: Topic and consumer group.
GROUPS = (("orders", "billing"), ("orders", "shipping"), ("events", "analytics"))


def show_redis(page: Page, world: World, started: FloatArray) -> None:
    """Add what redis_exporter shows: the memory falls at a restart and then fills again."""
    chunk, step = world.chunk, world.chunk.step_s
    rate = world.total_traffic * chunk.wobble("redis", 0.04)
    age = np.clip(chunk.times - started, 0, None)
    used = GIB * (0.2 + 1.2 * (1 - np.exp(-age / (2 * DAY_S)))) * chunk.wobble("redis memory", 0.01)
    clients = np.round(20 + 10 * world.relative_load * chunk.wobble("redis clients", 0.05))
    hits = np.round(rate * 1.5 * step)
    page.gauges(
        {
            "redis_up": 1,
            "redis_uptime_in_seconds": age.astype(np.float64),
            "redis_start_time_seconds": started,
            "redis_memory_used_bytes": np.round(used),
            "redis_memory_used_rss_bytes": np.round(used * 1.1),
            "redis_memory_used_peak_bytes": 2.1 * GIB,
            "redis_memory_used_dataset_bytes": np.round(used * 0.9),
            "redis_memory_used_overhead_bytes": np.round(used * 0.1),
            "redis_memory_max_bytes": MAX_MEMORY,
            "redis_config_maxmemory": MAX_MEMORY,
            "redis_config_maxclients": 10000,
            "redis_mem_fragmentation_ratio": 1.1 * chunk.wobble("redis fragmentation", 0.01),
            "redis_connected_clients": clients,
            "redis_blocked_clients": 0,
            "redis_connected_slaves": 0,
            "redis_loading_dump_file": 0,
            "redis_rdb_last_bgsave_status": 1,
            "redis_rdb_changes_since_last_save": np.round(rate * 30),
            "redis_rdb_last_save_timestamp_seconds": np.asarray(chunk.times // 300 * 300, dtype=np.float64),
            "redis_slowlog_length": 12,
            "redis_exporter_last_scrape_duration_seconds": 0.003 * chunk.wobble("redis scrape", 0.2),
        }
    )
    info = labelled(maxmemory_policy="allkeys-lru", os="Linux 6.1.0-18-amd64 x86_64", redis_mode="standalone")
    page.gauge("redis_instance_info", 1, f'{info},redis_version="7.0.15",role="master",tcp_port="6379"')
    if world.company.size.is_complete:
        page.gauges(constants(REDIS, "redis_"))
    page.gauge("redis_exporter_last_scrape_error", 0, labelled(err=""))
    for database in range(16):
        keys = np.round(used / 9000) if database == 0 else 0.0
        page.gauge("redis_db_keys", keys, labelled(db=f"db{database}"))
        page.gauge("redis_db_keys_expiring", keys * 0.8, labelled(db=f"db{database}"))
    counts = {
        "commands_processed": rate * 2.4,
        "keyspace_misses": rate * 0.1,
        "connections_received": rate * 0.01,
    }
    counts |= {"expired_keys": rate * 0.05, "evicted_keys": rate * 0.0, "rejected_connections": rate * 0.0}
    counts |= {"net_input_bytes": rate * 300, "net_output_bytes": rate * 2500}
    page.counters(
        {f"redis_{name}_total": np.round(each * step) for name, each in counts.items()}, since="server"
    )
    page.counter("redis_keyspace_hits_total", hits, since="server")
    for mode, share in (("sys", 2e-5), ("user", 3e-5)):
        page.counter(f"redis_cpu_{mode}_seconds_total", (0.002 + rate * share) * step, since="server")
    for command, each in COMMANDS.items():
        labels, calls = labelled(cmd=command), np.round(rate * each * step)
        page.counter("redis_commands_total", calls, labels, since="server")
        page.counter("redis_commands_duration_seconds_total", calls * 4e-6, labels, since="server")
        page.counter("redis_commands_failed_calls_total", 0, labels, since="server")


def show_nginx(page: Page, world: World) -> None:
    """Add what nginx-prometheus-exporter shows of `stub_status`."""
    chunk = world.chunk
    requests = chunk.rng("nginx").poisson(world.total_traffic * chunk.step_s).astype(np.float64)
    connections = np.round(requests * 0.3)
    writing = np.round(2 + world.total_traffic * 0.05)
    waiting = np.round(world.total_traffic * 1.5 * chunk.wobble("nginx", 0.05))
    page.gauges({"nginx_up": 1, "nginx_connections_reading": 0, "nginx_connections_writing": writing})
    page.gauges({"nginx_connections_waiting": waiting, "nginx_connections_active": waiting + writing})
    build = labelled(arch="linux/amd64", commit="", date="", dirty="false", go="go1.19.8")
    page.gauge("nginxexporter_build_info", 1, f'{build},version="0.11.0-1+b4"')
    page.counters(
        {"nginx_connections_accepted": connections, "nginx_connections_handled": connections}, since="server"
    )
    page.counter("nginx_http_requests_total", requests, since="server")


def show_kafka(page: Page, world: World) -> None:
    """Add what kafka_exporter shows: offsets of topics and groups, and the lag between them."""
    chunk, step = world.chunk, world.chunk.step_s
    page.gauge("kafka_brokers", 1)
    for topic, each in (("orders", 0.04), ("events", 1.0)):
        page.gauge("kafka_topic_partitions", PARTITIONS, labelled(topic=topic))
        rate = np.clip(world.total_traffic * each / PARTITIONS, 0.01, None)
        for partition in range(PARTITIONS):
            rng = chunk.rng("kafka", topic, str(partition))
            written = rng.poisson(rate * step).astype(np.float64)
            labels = labelled(partition=str(partition), topic=topic)
            page.counter(
                "kafka_topic_partition_current_offset", written, labels, since="server", kind="gauge"
            )
            page.gauge("kafka_topic_partition_oldest_offset", 0, labels)
            page.gauge("kafka_topic_partition_in_sync_replica", 1, labels)
            page.gauge("kafka_topic_partition_replicas", 1, labels)
            page.gauge("kafka_topic_partition_under_replicated_partition", 0, labels)
            for group in (group for one, group in GROUPS if one == topic):
                _show_group(page, world, (group, topic, str(partition)), rate, written)
    for topic, group in GROUPS:
        members = np.where(world.impact("consumer_lag", entity=f"{group}/{topic}"), 1, 2)
        page.gauge("kafka_consumergroup_members", members.astype(np.float64), labelled(consumergroup=group))


def _show_group(
    page: Page, world: World, names: tuple[str, str, str], rate: FloatArray, written: FloatArray
) -> None:
    """The offset of a group is that of the topic less its lag; a group that recovers catches up at once."""
    group, topic, partition = names
    lag = world.chunk.rng("kafka", *names).poisson(rate * 1.5).astype(np.float64)
    for one in world.incidents("consumer_lag", entity=f"{group}/{topic}"):
        # the group reads a little less than is written, so that its offset never falls
        seconds = min(MOST_LAG_S, LAG_SHARE * (one.impact - one.start))
        lag = lag + np.round(one.rise(world.chunk) * rate * seconds)
    labels = labelled(consumergroup=group, partition=partition, topic=topic)
    page.gauge("kafka_consumergroup_lag", lag, labels)
    page.counter(
        "kafka_consumergroup_current_offset", written, labels, since="server", kind="gauge", less=lag
    )


def show_prometheus(page: Page, world: World, company: Company, started: FloatArray) -> None:
    """Add what Prometheus shows of itself."""
    chunk = world.chunk
    series = 300.0 * company.size.hosts + 130.0 * company.size.services * company.size.pods + 600
    samples = np.full(world.steps, series)
    cpu = 0.02 + series / 40000 * chunk.wobble("prometheus cpu", 0.1)
    page.gauge(
        "prometheus_build_info", 1, labelled(branch="debian/sid", goversion="go1.19.8", version="2.42.0+ds")
    )
    page.gauges(
        {
            "prometheus_tsdb_head_series": np.round(series * chunk.wobble("prometheus series", 0.005)),
            "prometheus_tsdb_head_chunks": np.round(series * 2.3),
            "prometheus_config_last_reload_successful": 1,
            "prometheus_config_last_reload_success_timestamp_seconds": started,
            "prometheus_tsdb_storage_blocks_bytes": 8.5e8,
            "prometheus_notifications_queue_length": 0,
            "prometheus_notifications_queue_capacity": 10000,
        }
    )
    page.counters(
        {
            "prometheus_tsdb_head_samples_appended_total": samples,
            "prometheus_tsdb_compactions_total": np.asarray(
                chunk.times % 7200 < chunk.step_s, dtype=np.float64
            ),
            "prometheus_tsdb_compactions_failed_total": 0,
            "prometheus_rule_evaluation_failures_total": 0,
            "prometheus_target_scrapes_sample_out_of_order_total": 0,
            "prometheus_notifications_dropped_total": 0,
        }
    )
    for code in ("200", "400", "503"):
        counted = (
            chunk.rng("prometheus", code).poisson(8 if code == "200" else 0, world.steps).astype(np.float64)
        )
        page.counter(
            "prometheus_http_requests_total", counted, labelled(code=code, handler="/api/v1/query_range")
        )
    show_go(page, chunk, "prometheus", memory=1e8 + series * 9000 + 0 * cpu, cpu=cpu, version="go1.19.8")
