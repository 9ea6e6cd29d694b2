"""A day of samples as the bytes of one Parquet file, and back.

The metadata of a file have what verifies it without the database: `forewarn.schema`, `forewarn.tenant`, `forewarn.day`,
`forewarn.samples` (rows) and `forewarn.sha256` (see `checksum_of`).
"""

import hashlib
from datetime import date

import numpy as np
import polars as pl

from core.frames import SAMPLES, require_frame, sample_arrays

SCHEMA = "1"
_KEY = "forewarn."


class NotWhatWasWrittenError(Exception):
    """Bytes that are not the file of that tenant and day; the text says what is wrong."""


def checksum_of(frame: pl.DataFrame) -> str:
    """SHA-256 over three columns, each as little-endian words of eight bytes.

    The columns are the ids, the times in microseconds since 1970, and the bits of the values.

    Args:
        frame: `SAMPLES`, by series_id, ts.
    """
    digest = hashlib.sha256()
    ids, times, values = sample_arrays(frame)
    for column, dtype in ((ids, "<i8"), (times, "<i8"), (values, "<f8")):
        digest.update(np.ascontiguousarray(column, dtype=dtype).tobytes())
    return digest.hexdigest()


def encode(frame: pl.DataFrame, tenant: str, day: date) -> bytes:
    """The bytes of a file, compressed with zstd.

    Args:
        frame: `SAMPLES`, by series_id, ts, without null.
    """
    import pyarrow as pa
    from pyarrow import parquet

    described = {
        "schema": SCHEMA,
        "tenant": tenant,
        "day": day.isoformat(),
        "samples": str(frame.height),
        "sha256": checksum_of(frame),
    }
    ids, times, values = sample_arrays(frame)
    table = pa.table({"series_id": ids, "ts": pa.array(times, pa.timestamp("us", tz="UTC")), "value": values})
    sink = pa.BufferOutputStream()
    with parquet.ParquetWriter(
        sink,
        table.schema,
        compression="zstd",
        # A dictionary of values would join those that are equal and have other bits.
        use_dictionary=["series_id"],
        column_encoding={"ts": "DELTA_BINARY_PACKED", "value": "PLAIN"},
        store_schema=False,  # Arrow's own, which Parquet's makes superfluous
        sorting_columns=[parquet.SortingColumn(0), parquet.SortingColumn(1)],
    ) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({f"{_KEY}{name}": text for name, text in described.items()})
    return bytes(sink.getvalue().to_pybytes())


def decode(data: bytes, tenant: str, day: date) -> pl.DataFrame:
    """The samples of a file: `SAMPLES`, by series_id, ts.

    Raises:
        NotWhatWasWrittenError: the bytes are no file of this tenant and day, or their content is not what was written.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(pa.BufferReader(data))
        table = file.read()
        described = {name.decode(): text.decode() for name, text in (file.metadata.metadata or {}).items()}
        frame = pl.DataFrame(pl.from_arrow(table))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise NotWhatWasWrittenError(f"it cannot be read as Parquet ({_first_line(error)})") from error
    found = {name: described.get(f"{_KEY}{name}") for name in ("schema", "tenant", "day", "sha256")}
    if found["schema"] != SCHEMA:
        raise NotWhatWasWrittenError(
            f"its forewarn.schema is {found['schema']}, and this release reads {SCHEMA}"
        )
    if (found["tenant"], found["day"]) != (tenant, day.isoformat()):
        raise NotWhatWasWrittenError(f"it has samples of tenant {found['tenant']} on {found['day']}")
    if frame.schema != pl.Schema(SAMPLES) or any(column.null_count() for column in frame):
        raise NotWhatWasWrittenError("its columns are not series_id, ts and value")
    frame = require_frame(frame, SAMPLES)
    if checksum_of(frame) != found["sha256"]:
        raise NotWhatWasWrittenError("its samples do not have the checksum of its metadata")
    return frame


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).partition("\n")[0]
