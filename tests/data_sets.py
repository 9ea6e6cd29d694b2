"""Where the public data sets are. A test that needs one skips, with this path in the reason, when it is missing."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATASETS = Path(os.environ.get("FOREWARN_DATASETS", ROOT.parent / "shared" / "datasets"))
