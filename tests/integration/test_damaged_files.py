"""Files with damage of any kind: an ingest reads what it can, reports the rest, and never fails."""

import random
from pathlib import Path

from fakes.platform import platform_of

from core.clock import SystemClock
from pipelines.collect.ingest import ingest
from pipelines.sources.csv_files import CsvFiles
from pipelines.sources.parquet_files import ParquetFiles
from pipelines.stores.store import Store

CASES = Path(__file__).parents[1] / "cases" / "files"
FILES = 120
SEED = 20261129
#: What is inserted at random places.
PIECES = (
    b'"', b",", b";", b"\n", b"\r", b"\0", b"\xff", b"\x1f", b"\t", b"1e999", b"9" * 400, b"NaN", b"%", b"2026-13-45",
    b"99999999999999999999", b"sep=", b"\xef\xbb\xbf", b"\xff\xfe", b" GiB", b"1,234",
)  # fmt: skip


def damaged(content: bytes, random_: random.Random) -> bytes:
    """The content after up to six changes: something inserted, overwritten, deleted, doubled or cut."""
    data = bytearray(content)
    for _ in range(random_.randint(1, 6)):
        at = random_.randrange(len(data) + 1)
        change = random_.choice(["insert", "overwrite", "delete", "double", "cut"])
        if change == "insert":
            data[at:at] = random_.choice(PIECES)
        elif change == "overwrite":
            data[at : at + 1] = bytes([random_.randrange(256)])
        elif change == "delete":
            del data[at : at + random_.randint(1, 40)]
        elif change == "double":
            data[at:at] = data[at : at + 80]
        else:
            del data[random_.randint(len(data) // 2, len(data)) :]
    return bytes(data)


def test_damage_never_ends_an_ingest(store: Store, tmp_path: Path) -> None:
    random_ = random.Random(SEED)
    originals = sorted(path for path in CASES.rglob("*.*") if path.is_file())
    platform = platform_of(store, SystemClock())
    taken = 0
    for number in range(FILES):
        original = random_.choice(originals)
        source_type = ParquetFiles if original.suffix == ".parquet" else CsvFiles
        path = tmp_path / f"{number}__load{original.suffix}"
        path.write_bytes(damaged(original.read_bytes(), random_))
        report = ingest(platform, source_type(path, tenant=store.tenant))
        taken += report.inserted > 0
    assert taken > FILES / 10
