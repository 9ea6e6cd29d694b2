"""Several detectors as one: the p-values of the members, weighted by how far they agree. It needs no labels.

The raw score of each member becomes -log10 p against the member's own history. The weight of a member is the
correlation of its surprise with the mean surprise of the others. A member whose findings no other member shares gets a
low weight.

References:
    Rayana and Akoglu (2016), Less is more: building selective anomaly ensembles, ACM TKDD 10.
    Zimek, Campello and Sander (2014), Ensembles for unsupervised outlier detection, SIGKDD Explorations 15.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from core.arrays import FloatArray
from models.detect.calibration import Calibration, calibrate
from models.detect.detectors.ewma import Ewma
from models.detect.detectors.isolation_forest import IsolationForest
from models.detect.detectors.mad import Mad
from models.detect.detectors.zscore import ZScore
from models.detect.protocols import Arrays, Detector, FittedDetector, require_points

#: The members are fast and unlike each other, and each needs constant memory.
MEMBERS: tuple[Detector, ...] = (ZScore(), Mad(), Ewma(), IsolationForest())
#: Members learn from this share of the history, and are calibrated on the rest.
LEARN_SHARE = 0.7
#: Every member keeps at least this weight, because a finding of one member alone may be real.
LEAST_WEIGHT = 0.1


def agreement_weights(surprises: FloatArray) -> FloatArray:
    """Weights of the members, sum 1.

    Args:
        surprises: -log10 p of each member for the same values, shape (members, n).
    """
    members = len(surprises)
    ranks = np.argsort(np.argsort(surprises, axis=1), axis=1).astype(np.float64)
    weights = np.empty(members)
    for k in range(members):
        others = np.delete(ranks, k, axis=0).mean(axis=0) if members > 1 else ranks[k]
        spread = ranks[k].std() * others.std()
        weights[k] = max(float(np.mean((ranks[k] - ranks[k].mean()) * (others - others.mean()))), 0.0) / max(
            spread, 1e-12
        )
    weights = np.maximum(weights, LEAST_WEIGHT)
    result: FloatArray = weights / weights.sum()
    return result


@dataclass(frozen=True, slots=True, eq=False)
class FittedWeightedEnsemble:
    """The members, their calibrations and their weights."""

    members: tuple[FittedDetector, ...]
    calibrations: tuple[Calibration, ...]
    weights: FloatArray

    def score(self, values: FloatArray) -> FloatArray:
        """Weighted mean of the members' -log10 p, >= 0."""
        surprises = [
            calibration.surprise_of(member.score(values))
            for member, calibration in zip(self.members, self.calibrations, strict=True)
        ]
        result: FloatArray = self.weights @ np.array(surprises)
        return result

    def update(self, values: FloatArray) -> "FittedWeightedEnsemble":
        return replace(self, members=tuple(member.update(values) for member in self.members))

    def to_arrays(self) -> Arrays:
        arrays = {"weights": self.weights}
        for detector, member, calibration in zip(MEMBERS, self.members, self.calibrations, strict=True):
            arrays |= {f"{detector.name}.{name}": array for name, array in member.to_arrays().items()}
            arrays[f"{detector.name}.knots"] = calibration.knots
            arrays[f"{detector.name}.surprise"] = calibration.surprise
            arrays[f"{detector.name}.slope"] = np.array(calibration.slope)
        return arrays


@dataclass(frozen=True, slots=True)
class WeightedEnsemble:
    """z-score, MAD, EWMA and Isolation Forest together.

    Attributes:
        least_spread: see `models.detect.protocols.Detector`.
    """

    least_spread: float = 0.0
    name: ClassVar[str] = "weighted_ensemble"
    min_points: ClassVar[int] = 128

    def fit(self, values: FloatArray) -> FittedWeightedEnsemble:
        """See `models.detect.protocols.Detector.fit`."""
        known = require_points(values, self.min_points, self.name)
        cut = int(LEARN_SHARE * len(known))
        detectors = [self._member(detector) for detector in MEMBERS]
        held_out = [detector.fit(known[:cut]).score(known[cut:]) for detector in detectors]
        calibrations = tuple(
            calibrate(scores, max_slope=float(getattr(detector, "max_tail_slope", np.inf)))
            for detector, scores in zip(MEMBERS, held_out, strict=True)
        )
        surprises = np.array(
            [one.surprise_of(scores) for one, scores in zip(calibrations, held_out, strict=True)]
        )
        members = tuple(detector.fit(known) for detector in detectors)
        return FittedWeightedEnsemble(members, calibrations, agreement_weights(surprises))

    def _member(self, detector: Detector) -> Detector:
        """The detector with the least spread of the ensemble, if it has one."""
        if not isinstance(detector, ZScore | Mad | Ewma):
            return detector
        return replace(detector, least_spread=self.least_spread)

    def from_arrays(self, arrays: Arrays) -> FittedWeightedEnsemble:
        members, calibrations = [], []
        for detector in MEMBERS:
            mine = {
                name.removeprefix(f"{detector.name}."): array
                for name, array in arrays.items()
                if name.startswith(f"{detector.name}.")
            }
            members.append(detector.from_arrays(mine))
            calibrations.append(Calibration(mine["knots"], mine["surprise"], float(mine["slope"])))
        return FittedWeightedEnsemble(tuple(members), tuple(calibrations), arrays["weights"])
