"""Runs the benchmarks, each in a process of its own, and writes what they print into docs/benchmarks.md.

    python tests/benchmarks/run.py                  all of them: well over an hour, half of it for breaches
    python tests/benchmarks/run.py ingest serving   two of them; the sections of the others stay

Each benchmark compares within one run, so its ratios hold on any machine; its absolute figures do not.
"""

import os
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from pipelines.common.parallel import THREADS  # noqa: E402 - after the path

FOLDER = Path(__file__).parent
PAGE = ROOT / "docs" / "benchmarks.md"

INTRODUCTION = """# Benchmarks

Written by `make bench` (`make bench ARGS="ingest serving"` for some of them). Ratios are made in one run and
hold on any machine; absolute figures are those of the machine that a section names. Data sets are public and lie
outside the project (`FOREWARN_DATASETS`); nothing is tuned to one of them by name, and every setting is the
shipped default.
"""


def main(names: list[str]) -> int:
    """Run the named benchmarks, or all; returns how many failed."""
    known = sorted(path.stem.removeprefix("bench_") for path in FOLDER.glob("bench_*.py"))
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.exit(f"no benchmark {', '.join(unknown)}; there are {', '.join(known)}")
    failed = 0
    for name in names or known:
        print(f"benchmark {name} ...", flush=True)
        done = subprocess.run(
            [sys.executable, str(FOLDER / f"bench_{name}.py")],
            cwd=ROOT,
            env={
                **os.environ,
                **dict.fromkeys(THREADS, "1"),
                "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}",
            },
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            print(f"benchmark {name} failed; its section stays as it was")
            failed += 1
            continue
        print(done.stdout)
        write_section(name, done.stdout)
    return failed


def write_section(name: str, printed: str) -> None:
    """Put a benchmark's output into its place on the page; the other sections stay."""
    page = PAGE.read_text() if PAGE.exists() else INTRODUCTION
    sections = dict(re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", page, flags=re.M | re.S))
    made = f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, Python {platform.python_version()}"
    sections[name] = f"\n`python tests/benchmarks/bench_{name}.py`, {made}\n\n{_aligned(printed)}\n\n"
    body = "".join(f"## {title}\n{text}" for title, text in sorted(sections.items()))
    PAGE.write_text(f"{INTRODUCTION}\n{body}".rstrip() + "\n")


def _aligned(printed: str) -> str:
    """A table needs an empty line before it; some print none."""
    return re.sub(r"([^|\n])\n\|", r"\1\n\n|", printed.strip())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
