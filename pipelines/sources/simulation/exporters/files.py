"""What a simulated fleet writes: OpenMetrics text, its truth, its events, and the configuration of Prometheus. Pure."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

import numpy as np
import polars as pl

from core.durations import DAY_S
from pipelines.sources.simulation.exporters.clock import ZONE_S
from pipelines.sources.simulation.exporters.fleet import ExporterFleet, Rendered, Scrapes
from pipelines.sources.simulation.exporters.page import Family

#: Pods come and go, so Prometheus asks the server of the pages for the present targets.
PROMETHEUS_YML = """\
global:
  scrape_interval: {step_s}s
  scrape_timeout: {timeout_s}s
scrape_configs:
  - job_name: simulated
    http_sd_configs:
      - url: http://{address}/targets
        refresh_interval: 30s
    relabel_configs:
      - source_labels: [__meta_job]
        target_label: job
"""
EVENT_FIELDS = ("service", "kind", "at", "until", "title", "version")


def openmetrics(scrapes: Scrapes) -> str:
    """The samples of one chunk, series by series, as `promtool tsdb create-blocks-from openmetrics` reads them."""
    count, steps = scrapes.values.shape
    times = pl.Series([str(moment) for moment in scrapes.times.tolist()], dtype=pl.String)
    frame = pl.DataFrame(
        {
            "series": pl.Series(scrapes.series, dtype=pl.String).gather(np.repeat(np.arange(count), steps)),
            "value": scrapes.values.ravel(),
            "at": times.gather(np.tile(np.arange(steps), count)),
        }
    )
    found = frame.filter(pl.col("value").is_not_nan())
    return found.write_csv(include_header=False, separator=" ", quote_style="never") + "# EOF\n"


def page_text(rendered: Rendered, step: int) -> str:
    """The page of one target at one step of its chunk, in Prometheus's text format."""
    lines: list[str] = []
    declared = ""
    for family, values in sorted(zip(rendered.families, rendered.values, strict=True), key=_by_declared):
        if family.declared != declared:
            declared = family.declared
            lines.append(f"# TYPE {declared} {family.kind}")
        for labels, value in zip(family.labels, values[:, step].tolist(), strict=True):
            if value != value:  # NaN: the row does not exist at this moment
                continue
            lines.append(f"{family.name}{{{labels}}} {value!r}" if labels else f"{family.name} {value!r}")
    return "\n".join(lines) + "\n"


def _by_declared(item: tuple[Family, object]) -> str:
    return item[0].declared


def truth(fleet: ExporterFleet) -> dict[str, object]:
    """All incidents, also those after the end of the history, and all that happens besides them."""
    timeline = fleet.timeline
    return {
        "start": _text(fleet.start),
        "end": _text(fleet.end),
        "incidents": [
            {
                "type": one.type,
                "service": one.service,
                "host": one.host,
                "entity": one.entity,
                "start": _text(one.start),
                "impact": _text(one.impact),
                "end": _text(one.end),
                "series": list(one.series),
            }
            for one in sorted(timeline.incidents, key=lambda one: one.impact)
        ],
        "not_incidents": [
            {
                "kind": one.kind,
                "what": one.what,
                "at": _text(one.at),
                "until": None if one.until is None else _text(one.until),
            }
            for one in timeline.happenings
        ],
        "depends_on": {app.name: list(app.depends_on) for app in fleet.company.apps},
        "sparse_at_night": [app.name for app in fleet.company.apps if app.is_sparse],
        "autoscaled": [app.name for app in fleet.company.apps if app.is_autoscaled],
    }


def events_csv(fleet: ExporterFleet) -> str:
    """Deploys, changes and the holiday of the history, as the sidecar file `events.csv`."""
    rows: list[tuple[int, tuple[str, ...]]] = []
    for deploy in fleet.timeline.deploys:
        title = f"{deploy.service}: deploy {deploy.version}" + (" after a canary" if deploy.canary_at else "")
        rows.append((deploy.at, (deploy.service, "deploy", _text(deploy.at), "", title, deploy.version)))
    for one in fleet.timeline.happenings:
        if one.kind == "feature_flag":
            rows.append(
                (one.at, (one.what, "config_change", _text(one.at), "", f"{one.what}: feature flag set", ""))
            )
        elif one.kind == "holiday":
            day = datetime.fromtimestamp(one.at + ZONE_S, UTC).date().isoformat()
            rows.append((one.at, ("*", "holiday", day, "", "holiday", "")))
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(EVENT_FIELDS)
    writer.writerows(row for at, row in sorted(rows) if fleet.start - DAY_S <= at <= fleet.end)
    return file.getvalue()


def prometheus_yml(fleet: ExporterFleet, address: str) -> str:
    """A configuration of Prometheus that scrapes the live pages at `host:port`, with the labels of the blocks."""
    return PROMETHEUS_YML.format(step_s=fleet.step_s, timeout_s=min(10, fleet.step_s), address=address)


def discovered(rendered: Sequence[Rendered], address: str, step: int) -> list[dict[str, object]]:
    """The targets of this moment, in the format of Prometheus's HTTP service discovery."""
    found: list[dict[str, object]] = []
    for one in rendered:
        if one.exists[step]:
            pairs = (pair.split("=", 1) for pair in one.target.labels.split(","))
            labels = {name: value.strip('"') for name, value in pairs}
            labels |= {"__metrics_path__": f"/{one.target.path}", "__meta_job": one.target.job}
            found.append({"targets": [address], "labels": labels})
    return found


def arguments(fleet: ExporterFleet) -> dict[str, object]:
    """What makes the same fleet again."""
    return {
        "size": asdict(fleet.size),
        "days": fleet.days,
        "end": fleet.end,
        "seed": fleet.seed,
        "step_s": fleet.step_s,
    }


def _text(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat()
