"""Stores a failure bundle as named files: JSON for what people read, NPZ for curves, UBJSON for trees. No pickle."""

import io
import json
from collections.abc import Mapping

import numpy as np
import xgboost as xgb

from core.bundles import require_format
from models.failure.calibration import Calibrator
from models.failure.parts import FailureParts
from models.failure.remaining import RemainingTime

#: Increased whenever older files cannot be read any more. Format 3 has features of the first and second resource.
FORMAT = 3
META, CURVES, TYPES = "meta.json", "curves.npz", "types.ubj"


def to_files(parts: FailureParts) -> dict[str, bytes]:
    """The parts as named files; the inverse of `from_files`."""
    remaining = parts.remaining
    meta = {
        "format": FORMAT,
        "names": parts.names,
        "horizons_s": parts.horizons_s,
        "base": parts.base,
        "alert_horizon_s": parts.alert_horizon_s,
        "alert_threshold": parts.alert_threshold,
        "type_names": parts.type_names,
        "trust": parts.trust,
        "failures": parts.failures,
        "notes": parts.notes,
        "reliability": {str(horizon): rows for horizon, rows in parts.reliability.items()},
        "learned": [len(boosters) for boosters in parts.boosters],
        "remaining": {"cap": remaining.cap, "boosters": len(remaining.boosters)} if remaining else None,
    }
    curves = {}
    for index, calibrator in enumerate(parts.calibrators):
        curves[f"margins_{index}"] = calibrator.margins
        curves[f"probabilities_{index}"] = calibrator.probabilities
    files = {META: json.dumps(meta, indent=1).encode()}
    for index, boosters in enumerate(parts.boosters):
        for member, booster in enumerate(boosters):
            files[f"horizon_{index}_{member}.ubj"] = _raw(booster)
    if remaining is not None:
        curves |= {"remaining_knots": remaining.knots, "remaining_ranges": remaining.ranges}
        for index, booster in enumerate(remaining.boosters):
            files[f"remaining_{index}.ubj"] = _raw(booster)
    if parts.types is not None:
        files[TYPES] = _raw(parts.types)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **curves)
    return files | {CURVES: buffer.getvalue()}


def from_files(files: Mapping[str, bytes]) -> FailureParts:
    """The inverse of `to_files`.

    Raises:
        ModelUnavailableError: the files have another format.
    """
    meta = json.loads(files[META])
    require_format("failure", meta, FORMAT)
    with np.load(io.BytesIO(files[CURVES]), allow_pickle=False) as loaded:
        curves = dict(loaded)
    kept = meta["remaining"]
    return FailureParts(
        names=tuple(meta["names"]),
        horizons_s=tuple(meta["horizons_s"]),
        base=tuple(meta["base"]),
        alert_horizon_s=meta["alert_horizon_s"],
        boosters=tuple(
            tuple(_booster(files[f"horizon_{index}_{member}.ubj"]) for member in range(members))
            for index, members in enumerate(meta["learned"])
        ),
        calibrators=tuple(
            Calibrator(curves[f"margins_{index}"], curves[f"probabilities_{index}"])
            for index in range(len(meta["learned"]))
        ),
        remaining=RemainingTime(
            boosters=tuple(_booster(files[f"remaining_{index}.ubj"]) for index in range(kept["boosters"])),
            cap=kept["cap"],
            knots=curves["remaining_knots"],
            ranges=curves["remaining_ranges"],
        )
        if kept
        else None,
        types=_booster(files[TYPES]) if TYPES in files else None,
        type_names=tuple(meta["type_names"]),
        alert_threshold=meta["alert_threshold"],
        trust=meta["trust"],
        failures=meta["failures"],
        notes=tuple(meta["notes"]),
        reliability={
            int(horizon): tuple((a, b, c) for a, b, c in rows)
            for horizon, rows in meta["reliability"].items()
        },
    )


def _raw(booster: xgb.Booster) -> bytes:
    return bytes(booster.save_raw("ubj"))


def _booster(raw: bytes) -> xgb.Booster:
    booster = xgb.Booster({"nthread": 1})
    booster.load_model(bytearray(raw))
    return booster
