"""Reads the files of the previous release, which stored what is known of each series in the arrays."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray


def upgrade_4(meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """The content of `bundle.json` in format 5."""
    entries = [
        {
            **one,
            "days": float(arrays[f"baselines/{one['baselines']}/days"][one["row"]]),
            "randomness_z": float(arrays["randomness_z"][at]),
        }
        for at, one in enumerate(meta["series"])
    ]
    return {**meta, "format": 5, "series": entries}
