"""How many samples and native histograms of a remote_write request were accepted, as its protocol asks for."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from pipelines.sources.remote_write_columns import WriteRequest

#: A series and a time in ms.
_Key = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Written:
    """Numbers of accepted samples and native histograms; those that were stored before count as accepted."""

    samples: int
    histograms: int


def written(request: WriteRequest, rejected: pl.DataFrame) -> Written:
    """What was accepted of a request.

    A histogram is accepted if the number of its values is.

    Args:
        rejected: `REJECTED`, when the request was stored.
    """
    rows = list(_keys(rejected))
    if not rows:
        return Written(len(request.values), len(request.histograms))
    ids = np.array([one.as_gauge.series_id for one in request.series], dtype=np.int64).repeat(request.lengths)
    samples = set(zip(ids.tolist(), request.times_ms.tolist(), strict=True))
    histograms = {
        (one.series.histogram_series(gauge=False)["_count"].series_id, one.histogram.time_ms)
        for one in request.histograms
    }
    return Written(
        samples=len(request.values) - sum(key in samples for key in rows),
        histograms=len(request.histograms) - sum(key in histograms for key in rows),
    )


def _keys(rejected: pl.DataFrame) -> Iterator[_Key]:
    """Series and time of the rows that are samples."""
    for row in rejected["row"]:
        read = json.loads(row)
        if {"series_id", "ts", "value"} <= read.keys():
            at = datetime.fromisoformat(read["ts"])
            yield read["series_id"], round(at.timestamp() * 1000)
