"""A fleet without its forecasters: which series are forecast, and which breaches follow others."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.breach.cascade import CascadeModel
from models.forecast.files import META

BREACHES = "breaches.json"


@dataclass(frozen=True, slots=True)
class ForecastFleet:
    """What a cycle needs of a bundle where others forecast.

    Attributes:
        series_ids: of the series that have a forecaster, ascending.
        cascades: which breaches follow others.
    """

    series_ids: tuple[int, ...]
    cascades: CascadeModel


def read_fleet(files: Mapping[str, bytes]) -> ForecastFleet | None:
    """The fleet of a bundle, from the files `META` and `BREACHES` alone; null: an older release stored it elsewhere."""
    ids = json.loads(files[META]).get("series_ids")
    return None if ids is None else ForecastFleet(tuple(sorted(ids)), cascades_of(learned_of_breaches(files)))


def learned_of_breaches(files: Mapping[str, bytes]) -> Mapping[str, Any]:
    """What is stored of the correction and of the cascades; an older release stored it with the forecasters."""
    if BREACHES in files:
        learned: Mapping[str, Any] = json.loads(files[BREACHES])
        return learned
    meta = json.loads(files[META])
    return {"correction": meta.get("hindsight"), "cascades": meta.get("knock_ons")}


def cascades_of(learned: Mapping[str, Any]) -> CascadeModel:
    """The cascades; none known if none were learned."""
    return CascadeModel.from_json(learned["cascades"]) if learned["cascades"] else CascadeModel()
