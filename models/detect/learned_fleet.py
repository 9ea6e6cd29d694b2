"""A fleet without its detectors: its series and their alert budgets. It decides which scores are anomalies."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import polars as pl

from core.domain import Series
from models.detect.budget import OTHERS, AlertBudget
from models.detect.learned_series import LearnedSeries
from models.detect.series_model import SCORED, scored_schema
from models.series.thresholds import with_limits

#: The columns of `LearnedFleet.candidates`.
CANDIDATE = {name: SCORED[name] for name in ("series_id", "ts", "p_value", "weight", "is_anomaly")}


@dataclass(frozen=True, slots=True)
class LearnedFleet:
    """The series of a bundle of detectors: a hundredth of its memory.

    Attributes:
        series: series id -> what was learned of it.
        budgets: service -> alert budget; `OTHERS` is the budget that all other services share.
        names: of the detectors, in the order of their columns.
    """

    series: Mapping[int, LearnedSeries]
    budgets: Mapping[str, AlertBudget]
    names: tuple[str, ...]

    def of_service(self, service: str) -> list[int]:
        """The ids of the series of a service."""
        return [key for key, one in self.series.items() if one.series.service == service]

    def no_rows(self) -> pl.DataFrame:
        """The columns of `DetectorBundle.score` without a row."""
        return pl.DataFrame(schema=scored_schema(self.names))

    def decided(self, scored: pl.DataFrame) -> pl.DataFrame:
        """The rows of `DetectorBundle.undecided` of the whole fleet, with anomalies.

        The budget decides over all its series together.
        """
        services = set(self.budgets) - {OTHERS}
        own = {key: one.series.service for key, one in self.series.items() if one.series.service in services}
        budget = pl.col("series_id").replace_strict(own, default=OTHERS, return_dtype=pl.String)
        groups = scored.with_columns(budget=budget).partition_by("budget", include_key=False, as_dict=True)
        parts = [with_anomalies(self.budgets[str(name)], part) for (name,), part in groups.items()]
        return pl.concat(parts) if parts else scored

    def candidates(self, scored: pl.DataFrame) -> pl.DataFrame:
        """What the alert budgets need of rows that may be anomalies; `decided` of these finds the same anomalies."""
        highest = max(one.highest_alpha for one in self.budgets.values())
        return scored.filter(pl.col("p_value") / pl.col("weight") <= highest).select(list(CANDIDATE))

    def same_services(self, series_ids: Iterable[int]) -> list[int]:
        """The ids of all series of the services that these series belong to, ascending."""
        services = {self.series[key].series.service for key in series_ids}
        return sorted(key for key, one in self.series.items() if one.series.service in services)

    def with_limits(self, stored: Iterable[Series]) -> "LearnedFleet":
        """The fleet with the limits and SLO thresholds that are stored now, see `DetectorBundle.with_limits`."""
        changed: dict[int, LearnedSeries] = {}
        for one in stored:
            known = self.series.get(one.series_id)
            if known is not None and (now := with_limits(known.series, one)) is not known.series:
                changed[one.series_id] = replace(known, series=now)
        return replace(self, series={**self.series, **changed}) if changed else self


def with_anomalies(budget: AlertBudget, scored: pl.DataFrame) -> pl.DataFrame:
    """The same rows with `is_anomaly`. One budget decides over all its series together, in the order of time.

    Args:
        scored: `series_id`, `ts`, `p_value`, `weight`, `is_anomaly` and any other columns.
    """
    ordered = scored.with_row_index("row").sort("ts", "series_id")
    weighted = (ordered["p_value"] / ordered["weight"]).to_numpy()
    found, _ = budget.decide(weighted, ordered["ts"].dt.epoch("s").to_numpy())
    return ordered.with_columns(is_anomaly=pl.Series(found)).sort("row").select(scored.columns)


def marked(scored: pl.DataFrame, anomalies: pl.DataFrame) -> pl.DataFrame:
    """The same rows with `is_anomaly` where `anomalies`, with `series_id` and `ts`, has a row, and only there."""
    found = anomalies.select("series_id", "ts", is_anomaly=True)
    rows = scored.drop("is_anomaly").join(found, on=["series_id", "ts"], how="left", maintain_order="left")
    return rows.with_columns(pl.col("is_anomaly").fill_null(value=False)).select(scored.columns)
