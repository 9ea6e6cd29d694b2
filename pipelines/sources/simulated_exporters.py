"""Writes the history of a simulated fleet of exporters to a folder, and turns it into blocks of Prometheus."""

import json
import shutil
import subprocess
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from core.errors import InputError
from pipelines.common.progress import Progress, silent
from pipelines.sources.simulation.exporters.company import FleetSize
from pipelines.sources.simulation.exporters.files import (
    arguments,
    events_csv,
    openmetrics,
    prometheus_yml,
    truth,
)
from pipelines.sources.simulation.exporters.fleet import ExporterFleet, Recorder

#: Arguments of the fleet and its counters at the start of the last chunk; the live pages continue from them.
STATE_FILE = "fleet.json"
PROMTOOL = "promtool"
#: Blocks that are made at once, while the next text is written.
PROMTOOLS = 2


def write_history(
    fleet: ExporterFleet,
    folder: Path,
    *,
    address: str,
    into_blocks: bool,
    progress: Progress = silent,
) -> int:
    """Write the history, its truth, its events and `prometheus.yml`; return the number of samples.

    Args:
        address: `host:port` of the live pages, for `prometheus.yml`.
        into_blocks: turn each text into a block in `folder`/data and delete it; needs promtool.
        progress: hears of each chunk that is written.
    Raises:
        InputError: the folder has a history already, or promtool is not installed or fails.
    """
    if (folder / STATE_FILE).exists():
        raise InputError(f"{folder} has a history already. Choose another folder, or delete this one.")
    if into_blocks and shutil.which(PROMTOOL) is None:
        raise InputError(
            "promtool is not installed (Debian: package prometheus). Without --blocks it is not needed."
        )
    texts = folder / "openmetrics"
    texts.mkdir(parents=True, exist_ok=True)
    (folder / "truth.json").write_text(json.dumps(truth(fleet), indent=2) + "\n")
    (folder / "events.csv").write_text(events_csv(fleet))
    (folder / "prometheus.yml").write_text(prometheus_yml(fleet, address))
    recorder = Recorder(fleet)
    samples = 0
    with ThreadPoolExecutor(PROMTOOLS) as pool:
        running: deque[Future[None]] = deque()
        for number, scrapes in enumerate(fleet.history(recorder)):
            content = openmetrics(scrapes)
            samples += content.count("\n") - 1
            text = texts / f"{number:04d}.om"
            text.write_text(content)
            if into_blocks:
                running.append(pool.submit(_into_block, text, folder / "data"))
                if len(running) > PROMTOOLS:
                    running.popleft().result()
            progress("simulate", number + 1, len(fleet.chunks))
        for one in running:
            one.result()
    if into_blocks:
        texts.rmdir()
    state = {"arguments": arguments(fleet), "totals": recorder.totals}
    (folder / STATE_FILE).write_text(json.dumps(state))
    return samples


def _into_block(text: Path, data: Path) -> None:
    command = [PROMTOOL, "tsdb", "create-blocks-from", "openmetrics", "--quiet", str(text), str(data)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - no shell, own arguments
    if done.returncode:
        raise InputError(f"promtool cannot read {text}: {done.stderr.strip()[-300:]}")
    text.unlink()


def read_history(folder: Path) -> Recorder:
    """The fleet of a folder, with its counters at the start of the last chunk of the history.

    Raises:
        InputError: the folder has no complete history.
    """
    try:
        state = json.loads((folder / STATE_FILE).read_text())
    except FileNotFoundError:
        raise InputError(f"{folder} has no complete history: {STATE_FILE} is missing") from None
    given: Mapping[str, int] = state["arguments"]
    fleet = ExporterFleet(
        FleetSize(**state["arguments"]["size"]),
        days=given["days"],
        end=given["end"],
        seed=given["seed"],
        step_s=given["step_s"],
    )
    return Recorder(fleet, state["totals"])
