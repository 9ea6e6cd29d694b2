"""Readers of sets with injected faults, on tiny sets in the shape of the public ones, and the figures."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from core.domain import Role
from core.errors import InputError
from models.causes.localise import Origin
from pipelines.bench.labelled_faults import Fault, read_faults
from pipelines.bench.localise import bench_localise, measure

DAY = datetime(2022, 8, 22, tzinfo=UTC)
PODS = ("web-5d8f9-abcde", "cart-7b9c6-fghij")


def nezha(folder: Path, fault_minute: int = 90) -> Path:
    """Two pods for two hours; the processor of the second is used ten times as much from the fault on."""
    day = folder / "2022-08-22"
    (day / "metric").mkdir(parents=True)
    rng = np.random.default_rng(0)
    times = [DAY + timedelta(minutes=minute) for minute in range(120)]
    for pod in PODS:
        rows = ["Time,TimeStamp,PodName,CpuUsage(m),PodServerLatencyP90(s)"]
        for minute, at in enumerate(times):
            busy = 10 if pod == PODS[1] and minute >= fault_minute else 1
            rows.append(
                f"{at:%Y-%m-%d %H:%M:%S}.5 +0000 UTC m=+0.1,{int(at.timestamp()) + 200_000_000},{pod},"
                f"{busy * (5 + rng.normal(0, 0.2)):.4f},{0.1 + rng.normal(0, 0.002):.5f}"
            )
        (day / "metric" / f"{pod}_metric.csv").write_text("\n".join(rows) + "\n")
    for seen_by in ("source", "destination"):
        rows = ["time,timestamp,web_cart"]
        rows += [f"{at:%Y-%m-%d %H:%M:%S},0,{0.01 + rng.normal(0, 0.0002):.6f}" for at in times]
        (day / "metric" / f"{seen_by}_50.csv").write_text("\n".join(rows) + "\n")
    (day / "metric" / "dependency.csv").write_text("Source,Target,Weight\nweb,cart,1\n")
    at = DAY + timedelta(minutes=fault_minute)
    fault = {
        "inject_timestamp": str(int(at.timestamp())),
        "inject_pod": PODS[1],
        "inject_type": "cpu_consumed",
    }
    (day / "2022-08-22-fault_list.json").write_text(json.dumps({"01": [fault]}))
    return folder


def test_a_fault_is_found_by_what_came_before_it_alone(tmp_path: Path) -> None:
    (fault,) = read_faults(nezha(tmp_path / "set"), "nezha")
    assert (fault.service, fault.origin, fault.kind) == ("cart", Origin.CPU, "cpu_consumed")
    assert fault.edges == (("web", "cart"),)
    assert not fault.history.is_empty()
    assert (fault.history["ts"] < fault.at).all()
    assert {one.role for one in fault.series if "Latency" in one.metric} == {Role.LATENCY}
    report = bench_localise(tmp_path / "set", "nezha", tmp_path / "out.json")
    assert (report.faults, report.shipped.top_1, report.shipped.service_top_1) == (1, 1.0, 1.0)
    assert json.loads((tmp_path / "out.json").read_text())["shipped"]["top_3"] == 1.0


def test_a_fault_before_there_was_anything_to_learn_from_is_missed_and_not_left_out(tmp_path: Path) -> None:
    report = bench_localise(nezha(tmp_path, fault_minute=3), "nezha")
    assert (report.faults, report.shipped.top_3) == (1, 0.0)


def test_an_issue_knows_only_its_place(tmp_path: Path) -> None:
    heading = [
        "microservice,web,db",
        "metric,latency,latency",
        "statistic,Average,Average",
        "unix_timestamp,,",
    ]
    rng = np.random.default_rng(1)
    quiet = [f"{1_692_600_000 + 300 * i}.0,{0.2 + rng.normal(0, 0.01):.4f},{0.1 + rng.normal(0, 0.005):.4f}"
             for i in range(300)]  # fmt: skip
    for name, rows in {
        "noissue": quiet,
        "test/issue_0": [
            "1681857000.0,0.2,0.1",
            "1681857300.0,0.2,",
            "1681857600.0,1.2,1.1",
            "1681857900.0,1.2,1.1",
        ],
    }.items():
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "metrics.csv").write_text("\n".join([*heading, *rows]) + "\n")
    (tmp_path / "graph.csv").write_text(",web,db\nweb,0,1\ndb,0,0\n")
    target = {"target": {"metric": "latency", "timestamp": 1681857590}, "root_cause": {"node": "db"}}
    (tmp_path / "test" / "issue_0" / "target.json").write_text(json.dumps(target))
    report = bench_localise(tmp_path, "petshop")
    assert (report.shipped.service_top_1, report.shipped.top_3) == (1.0, None)
    assert report.shipped.top_3_by_kind == {"latency": 1.0}


@pytest.mark.parametrize("data_format", ["nezha", "petshop", "other"])
def test_a_folder_without_such_data_is_refused(tmp_path: Path, data_format: str) -> None:
    with pytest.raises(InputError, match=data_format):
        list(read_faults(tmp_path, data_format))


def test_figures_count_the_place_by_itself_and_with_its_kind(tmp_path: Path) -> None:
    (fault,) = read_faults(nezha(tmp_path), "nezha")
    faults: list[Fault] = [fault, fault]
    ranked = [
        [("cart", Origin.SERVICE), ("cart", Origin.MEMORY), ("web", Origin.CPU), ("cart", Origin.CPU)],
        [("web", Origin.CPU), ("cart", Origin.CPU)],
    ]
    figures = measure(faults, ranked)
    assert (figures.service_top_1, figures.service_top_3) == (0.5, 1.0)
    assert (figures.top_1, figures.top_3) == (0.0, 0.5)
