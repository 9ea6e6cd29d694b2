"""Native histograms as the samples of classic ones, of which our own computation gives golden signals.

Classic buckets of all pods can be added up, whatever the resolution of each native histogram is.
"""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from core.arrays import IntArray
from core.errors import InputError
from pipelines.sources.buckets import LADDER
from pipelines.sources.native_histograms import CUSTOM
from pipelines.sources.remote_write_columns import STALE_BITS, SentHistogram, WriteRequest
from pipelines.sources.remote_write_known import KnownLabels
from pipelines.stores.dead_letters import REJECTED

_STALE = struct.pack("<Q", STALE_BITS)
_STALE_VALUE: float = struct.unpack("<d", _STALE)[0]


@dataclass(frozen=True, slots=True)
class ClassicRequest:
    """A request without native histograms.

    Attributes:
        request: as it came, with the samples of classic histograms after all others.
        firsts: where in the samples each native histogram begins.
    """

    request: WriteRequest
    firsts: IntArray


def classic_request(request: WriteRequest) -> ClassicRequest:
    """Replace the native histograms of a request. Those that cannot be are rejected, with one row for each series."""
    if not request.histograms:
        return ClassicRequest(request, np.empty(0, dtype=np.int64))
    series: list[KnownLabels] = []
    times_ms: list[int] = []
    values: list[float] = []
    firsts: list[int] = []
    rejected: dict[int, tuple[str, str]] = {}
    for sent in request.histograms:
        try:
            parts = list(_parts(sent))
        except InputError as error:
            row = json.dumps({"labels": dict(sent.series.labels), "samples": 1})
            rejected[sent.series.raw_id] = (row, str(error))
            continue
        firsts.append(len(values))
        series += [one for one, _ in parts]
        times_ms += [sent.histogram.time_ms] * len(parts)
        values += [value for _, value in parts]
    rows = pl.DataFrame(list(rejected.values()), schema=REJECTED, orient="row")
    with_classic = replace(
        request,
        series=[*request.series, *series],
        lengths=np.append(request.lengths, np.ones(len(series), dtype=np.int64)),
        times_ms=np.append(request.times_ms, np.array(times_ms, dtype=np.int64)),
        values=np.append(request.values, np.array(values, dtype=np.float64)),
        created_ms=np.append(request.created_ms, np.zeros(len(series), dtype=np.int64)),
        histograms=(),
        rejected=pl.concat([request.rejected, rows]),
    )
    return ClassicRequest(with_classic, np.array(firsts, dtype=np.int64) + len(request.values))


def _parts(sent: SentHistogram) -> Iterator[tuple[KnownLabels, float]]:
    """The series of a classic histogram, and their values.

    Raises:
        InputError: it cannot be one.
    """
    one, of_series = sent.histogram, sent.series
    if one.is_gauge:
        raise InputError(
            "golden signals are not computed of a native histogram of a gauge, which does not count"
        )
    if struct.pack("<d", one.total) == _STALE:
        for ending, bound in tuple(of_series.classic_parts):
            yield of_series.classic_part(ending, bound), _STALE_VALUE
        return
    yield of_series.classic_part("_count"), one.count
    yield of_series.classic_part("_sum"), one.total
    # The same bounds for all, so that the buckets of several series can be added up.
    bounds = one.bounds if one.schema == CUSTOM else LADDER
    for bound, count in zip(bounds.tolist(), one.buckets().reached(bounds).tolist(), strict=True):
        yield of_series.classic_part("_bucket", bound), count
    yield of_series.classic_part("_bucket", np.inf), one.count
