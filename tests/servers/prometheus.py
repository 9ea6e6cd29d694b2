"""Debian's Prometheus and node_exporter, of the test's own, on free ports."""

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from pipelines.processes.server_process import free_port, start_server


def missing_programs() -> list[str]:
    """Those of the programs that are not installed."""
    wanted = ("prometheus", "promtool", "prometheus-node-exporter")
    return [program for program in wanted if shutil.which(program) is None]


@contextmanager
def node_exporter(folder: Path) -> Iterator[str]:
    """`host:port` of a running node_exporter; its log is in `folder`."""
    address = f"127.0.0.1:{free_port()}"
    command = ["prometheus-node-exporter", f"--web.listen-address={address}", "--log.level=error"]
    with start_server(
        "node_exporter", command, url=f"http://{address}", log=folder / "node_exporter.log"
    ) as server:
        server.wait_until_ready("/metrics")
        yield address


@contextmanager
def prometheus(
    folder: Path,
    targets: Mapping[str, str],
    *,
    scrape_s: int = 1,
    remote_write: Mapping[str, object] | None = None,
    features: Sequence[str] = (),
    receives: bool = False,
) -> Iterator[str]:
    """The URL of a running Prometheus that scrapes `targets` (job -> host:port); its blocks are in `folder`/data.

    Args:
        remote_write: where it pushes what it scrapes, as its own configuration says it.
        features: of Prometheus that are off otherwise, such as native-histograms.
        receives: whether it takes samples of others by remote_write.
    """
    jobs = "".join(
        f"  - job_name: {job}\n    static_configs: [{{targets: ['{address}']}}]\n"
        for job, address in targets.items()
    )
    config = folder / "prometheus.yml"
    config.write_text(
        f"global: {{scrape_interval: {scrape_s}s, scrape_timeout: {scrape_s}s}}\nscrape_configs:\n{jobs or '  []'}\n"
    )
    if remote_write is not None:
        with config.open("a") as file:
            # JSON is YAML.
            file.write(f"remote_write: [{json.dumps(remote_write)}]\n")
    url = f"http://127.0.0.1:{free_port()}"
    command = [
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={url.removeprefix('http://')}",
        "--storage.tsdb.retention.time=50y",
        "--log.level=error",
        *(["--web.enable-remote-write-receiver"] if receives else []),
    ]
    command += [f"--enable-feature={one}" for one in features]
    with start_server("Prometheus", command, url=url, log=folder / "prometheus.log") as server:
        server.wait_until_ready("/-/ready")
        yield url


def backfill(folder: Path, samples: Mapping[str, Sequence[tuple[datetime, float]]]) -> None:
    """Put a history where a Prometheus of `folder` finds it; keys are series as Prometheus writes them."""
    text = folder / "history.om"
    lines = [
        f"{series} {value} {at.timestamp():.3f}"
        for series, history in sorted(samples.items())
        for at, value in history
    ]
    text.write_text("\n".join(lines) + "\n# EOF\n")
    # promtool reads the whole text again for each block, so there are few.
    command = ["promtool", "tsdb", "create-blocks-from", "--max-block-duration=720h", "openmetrics"]
    command += [str(text), str(folder / "data")]
    subprocess.run(command, check=True, capture_output=True)
