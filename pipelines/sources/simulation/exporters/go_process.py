"""Metrics of a process that the Prometheus client of Go exposes: process_*, go_* and promhttp_*."""

import numpy as np

from pipelines.sources.simulation.exporters.clock import Chunk, FloatArray
from pipelines.sources.simulation.exporters.page import Page, labelled


def show_process(
    page: Page,
    chunk: Chunk,
    *,
    cpu: FloatArray,
    memory: FloatArray,
    started: FloatArray,
    fds: FloatArray,
) -> None:
    """Add process_*.

    Args:
        cpu: cores in use.
        memory: resident bytes.
        started: when the process started, seconds since the epoch.
        fds: open file descriptors.
    """
    page.counter("process_cpu_seconds_total", cpu * chunk.step_s)
    page.gauges(
        {
            "process_max_fds": 65536,
            "process_open_fds": np.round(fds),
            "process_resident_memory_bytes": np.round(memory / 4096) * 4096,
            "process_start_time_seconds": started,
            "process_virtual_memory_bytes": np.round(memory * 1.4 / 4096) * 4096 + 1.2e9,
            "process_virtual_memory_max_bytes": 1.8446744073709552e19,
        }
    )


def show_go(
    page: Page, chunk: Chunk, name: str, *, memory: FloatArray, cpu: FloatArray, version: str
) -> None:
    """Add go_*: the heap is most of the resident memory; the collector runs more often under load."""
    heap = memory * 0.75
    saw = 0.75 + 0.25 * chunk.rng(name, "heap").random(len(chunk.times))
    allocated = (2e6 + cpu * 4e8) * chunk.step_s
    runs = np.round(chunk.step_s * (1 / 120 + cpu * 0.8))
    last_gc = np.asarray(
        chunk.times - chunk.rng(name, "gc").integers(1, 60, len(chunk.times)), dtype=np.float64
    )
    page.gauge("go_info", 1, labelled(version=version))
    for quantile, seconds in (("0", 3e-5), ("0.25", 6e-5), ("0.5", 1e-4), ("0.75", 2e-4), ("1", 3e-3)):
        value = seconds * chunk.wobble(f"{name}{quantile}", 0.1)
        page.gauge("go_gc_duration_seconds", value, labelled(quantile=quantile), kind="summary")
    for suffix, increments in (("sum", runs * 1.4e-4), ("count", runs)):
        page.counter(f"go_gc_duration_seconds_{suffix}", increments, kind="summary")
        page.families[f"go_gc_duration_seconds_{suffix}"].declared = "go_gc_duration_seconds"
    page.gauges(
        {
            "go_goroutines": np.round(8 + cpu * 120 * chunk.wobble(f"{name}goroutines", 0.1)),
            "go_threads": 12,
            "go_memstats_alloc_bytes": np.round(heap * saw),
            "go_memstats_heap_alloc_bytes": np.round(heap * saw),
            "go_memstats_heap_inuse_bytes": np.round(heap * (0.1 + 0.9 * saw)),
            "go_memstats_heap_idle_bytes": np.round(heap * 0.3),
            "go_memstats_heap_released_bytes": np.round(heap * 0.1),
            "go_memstats_heap_sys_bytes": np.round(heap * 1.2),
            "go_memstats_heap_objects": np.round(heap * saw / 90),
            "go_memstats_next_gc_bytes": np.round(heap * 1.3),
            "go_memstats_stack_inuse_bytes": 1.5e6,
            "go_memstats_sys_bytes": np.round(memory * 1.15),
            "go_memstats_last_gc_time_seconds": last_gc,
        }
    )
    page.counters(
        {
            "go_memstats_alloc_bytes_total": np.round(allocated),
            "go_memstats_mallocs_total": np.round(allocated / 110),
            "go_memstats_frees_total": np.round(allocated / 110),
            "go_memstats_lookups_total": 0,
        }
    )


def show_exporter(page: Page, chunk: Chunk, name: str, started: FloatArray) -> None:
    """Add what an exporter shows of its own process, which uses little."""
    cpu = 0.004 * chunk.wobble(f"{name}exporter", 0.1)
    memory = 1.6e7 * chunk.wobble(f"{name}resident", 0.02)
    show_process(page, chunk, cpu=cpu, memory=memory, started=started, fds=np.full(len(chunk.times), 11.0))
    show_go(page, chunk, name, memory=memory, cpu=cpu, version="go1.19.8")


def show_scrapes(page: Page) -> None:
    """Add what most exporters count of the scrapes that they answer."""
    page.gauge("promhttp_metric_handler_requests_in_flight", 1)
    for code in ("200", "500", "503"):
        page.counter("promhttp_metric_handler_requests_total", 1 if code == "200" else 0, labelled(code=code))
