"""Runs the benchmarks, each in its own process, and writes their output to docs/benchmarks.md.

    python tests/benchmarks/run.py                  all benchmarks: well over an hour, half of it for breaches
    python tests/benchmarks/run.py ingest serving   two of them; the other sections stay

The sections of `COMBINED` are only printed. Each benchmark compares within one run, so its ratios hold on any machine;
its absolute figures do not.
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

from pipelines.processes.threads import THREADS  # noqa: E402 - after the path

FOLDER = Path(__file__).parent
PAGE = ROOT / "docs" / "benchmarks.md"

#: Sections that combine several runs and contain notes by hand. Their benchmarks are run and printed, but not written.
COMBINED = frozenset(
    {"breach", "failure", "features", "many", "nightly", "peers", "replay", "training", "watch"}
)

INTRODUCTION = """# Benchmarks

`make bench` measures everything and writes each section from the output of one run (`make bench ARGS="ingest serving"`
for single sections). Nine sections combine several runs and contain notes by hand: `breach`, `failure`, `features`,
`many`, `nightly`, `peers`, `replay`, `training` and `watch`. For these, `make bench` prints the new figures and leaves
the page unchanged.

Ratios come from one run and hold on any machine. Absolute figures are those of the machine that the section names.
Data sets are public and not part of the project; `FOREWARN_DATASETS` names their folder. No setting is tuned to a data
set: all figures are of the shipped defaults.
"""


def main(names: list[str]) -> int:
    """Run the named benchmarks, or all. Returns the number of failed ones."""
    known = sorted(path.stem.removeprefix("bench_") for path in FOLDER.glob("bench_*.py"))
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.exit(f"there is no benchmark {', '.join(unknown)}; the benchmarks are {', '.join(known)}")
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
            print(f"benchmark {name} failed; its section is unchanged")
            failed += 1
            continue
        print(done.stdout)
        if name in COMBINED:
            print(f"the section {name} combines several runs: edit it by hand")
        else:
            write_section(name, done.stdout)
    return failed


def write_section(name: str, printed: str) -> None:
    """Replace the section of a benchmark by its new output. The other sections stay."""
    page = PAGE.read_text() if PAGE.exists() else INTRODUCTION
    sections = dict(re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", page, flags=re.M | re.S))
    made = f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, Python {platform.python_version()}"
    sections[name] = f"\n`python tests/benchmarks/bench_{name}.py`, {made}\n\n{_aligned(printed)}\n\n"
    body = "".join(f"## {title}\n{text}" for title, text in sorted(sections.items()))
    PAGE.write_text(f"{INTRODUCTION}\n{body}".rstrip() + "\n")


def _aligned(printed: str) -> str:
    """Markdown needs an empty line before a table; some benchmarks print none."""
    return re.sub(r"([^|\n])\n\|", r"\1\n\n|", printed.strip())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
