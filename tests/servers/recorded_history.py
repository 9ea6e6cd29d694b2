"""A history of days for a Prometheus that has run for minutes: what it recorded, repeated into the past.

Counters go on growing, so that their rates are the recorded ones.
"""

import shutil
import subprocess
from pathlib import Path

import httpx
import numpy as np

from core.arrays import FloatArray

#: Gauges that hold the present time.
_CLOCKS = frozenset({"node_time_seconds"})


def repeat_into_past(url: str, folder: Path, *, minutes: float, days: float, step_s: int = 140) -> int:
    """Write blocks into `folder`/data for the days before the record; Prometheus reads them when it starts.

    Returns:
        How many series were written.
    """
    query = {"query": f'{{__name__!="",job!~"|prometheus"}}[{minutes * 60:.0f}s]'}
    found = (
        httpx.post(f"{url}/api/v1/query", data=query, timeout=120, trust_env=False).raise_for_status().json()
    )
    metadata = httpx.get(f"{url}/api/v1/metadata", timeout=60, trust_env=False).json()["data"]
    text = folder / "history.om"
    count = 0
    with text.open("w") as file:
        for one in found["data"]["result"]:
            labels = dict(one["metric"])
            name = labels.pop("__name__")
            recorded = np.array(one["values"], dtype=np.float64)
            if len(recorded) < 4 * minutes / 2:  # it was not there all the time
                continue
            times, values = _repeated(recorded, days, step_s, counter=_is_counter(name, metadata))
            if name in _CLOCKS:
                values = times
            inner = ",".join(f'{key}="{_escaped(value)}"' for key, value in sorted(labels.items()))
            file.writelines(
                f"{name}{{{inner}}} {value!r} {at:.3f}\n"
                for at, value in zip(times.tolist(), values.tolist(), strict=True)
            )
            count += 1
        file.write("# EOF\n")
    # promtool reads the whole file again for each block, so there are few.
    longest = f"--max-block-duration={24 * days:.0f}h"
    command = [
        "promtool",
        "tsdb",
        "create-blocks-from",
        longest,
        "openmetrics",
        str(text),
        str(folder / "blocks"),
    ]
    subprocess.run(command, check=True, capture_output=True)
    for block in (folder / "blocks").iterdir():
        shutil.move(block, folder / "data" / block.name)
    text.unlink()
    return count


def _is_counter(name: str, metadata: dict[str, list[dict[str, str]]]) -> bool:
    """Whether its type is that of a counter, or it is a part of a histogram or summary."""
    kinds = {one["type"] for one in metadata.get(name, [])}
    for suffix in ("_bucket", "_count", "_sum"):
        kinds |= {one["type"] for one in metadata.get(name.removesuffix(suffix), [])} & {
            "histogram",
            "summary",
        }
    return bool(kinds & {"counter", "histogram"}) or (
        name.endswith(("_count", "_sum")) and "summary" in kinds
    )


def _repeated(
    recorded: FloatArray, days: float, step_s: int, *, counter: bool
) -> tuple[FloatArray, FloatArray]:
    """Times and values of the days before the first recorded one."""
    at, value = recorded[:, 0], recorded[:, 1]
    lasted = at[-1] - at[0]
    times = at[0] - np.arange(days * 86_400, 0, -step_s)
    times = times[times < at[0] - 60]
    rounds = np.floor((times - at[0]) / lasted)
    nearest = np.clip(np.searchsorted(at - at[0], times - at[0] - rounds * lasted), 0, len(at) - 1)
    values = value[nearest]
    if counter:
        grown = value[-1] - value[0]
        values = values + rounds * max(grown, 0.0)
        values -= min(values.min(), 0.0)
    return times, values


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
