"""blackbox_exporter (names and labels of version 0.23): one page for each probed address."""

import numpy as np

from core.durations import DAY_S
from pipelines.sources.simulation.exporters.clock import FloatArray, seeded
from pipelines.sources.simulation.exporters.page import Page, labelled
from pipelines.sources.simulation.exporters.world import World

#: A certificate is renewed so many days before it expires, and is valid for `VALID_DAYS`.
RENEWED_DAYS, VALID_DAYS = 30, 90
PHASES = {"resolve": 0.002, "connect": 0.008, "tls": 0.03, "processing": 0.05, "transfer": 0.004}


def expiry(world: World, site: str) -> FloatArray:
    """When the certificate expires, in seconds since the epoch; during an incident nobody renews it."""
    phase = int(seeded(world.company.seed, site).integers(0, (VALID_DAYS - RENEWED_DAYS) * DAY_S))
    cycle = (VALID_DAYS - RENEWED_DAYS) * DAY_S
    renewed = (world.chunk.times + phase) // cycle * cycle - phase
    expires = np.asarray(renewed + VALID_DAYS * DAY_S, dtype=np.float64)
    renewed_at = 0
    for one in sorted(world.timeline.incidents, key=lambda one: one.impact):
        if one.type == "certificate_expiry" and one.entity == site:
            # what would have been renewed 30 days before the impact was not
            forgotten = world.chunk.between(max(one.impact - RENEWED_DAYS * DAY_S, renewed_at), one.end)
            renewed_at = one.end
            expires = np.where(forgotten, float(one.impact), expires)
            renewed_late = world.chunk.between(one.end, one.end + VALID_DAYS * DAY_S)
            expires = np.where(renewed_late, np.maximum(expires, one.end + VALID_DAYS * DAY_S), expires)
    return expires


def show_probe(page: Page, world: World, site: str) -> None:
    """Add what the exporter shows of one probe over HTTPS."""
    expires = expiry(world, site)
    is_valid = expires > world.chunk.times
    slow = np.where(world.impact("pool_exhaustion"), 4.0, 1.0)
    total = np.zeros(world.steps)
    for phase, seconds in PHASES.items():
        took = seconds * world.chunk.wobble(site + phase, 0.15) * np.where(phase == "processing", slow, 1.0)
        took = np.where(is_valid | (phase in ("resolve", "connect")), took, 0.0)
        total = total + took
        page.gauge("probe_http_duration_seconds", took, labelled(phase=phase))
    page.gauges(
        {
            "probe_success": is_valid.astype(np.float64),
            "probe_duration_seconds": total + 0.001,
            "probe_dns_lookup_time_seconds": 0.002 * world.chunk.wobble(f"{site}dns", 0.2),
            "probe_ssl_earliest_cert_expiry": expires,
            "probe_http_ssl": is_valid.astype(np.float64),
            "probe_http_status_code": np.where(is_valid, 200.0, 0.0),
            "probe_http_content_length": -1,
            "probe_http_uncompressed_body_length": 48211,
            "probe_http_redirects": 0,
            "probe_http_version": np.where(is_valid, 2.0, 0.0),
            "probe_failed_due_to_regex": 0,
            "probe_ip_protocol": 4,
            "probe_ip_addr_hash": 3.668918509e9,
        }
    )
