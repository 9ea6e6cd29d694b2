"""Several detectors as one: each one's p-values, weighed by how much it agrees with the others. No labels needed.

Raw scores become -log10 p against the member's own history; weights follow from the correlation of a member's
surprise with the mean of the others', so that a member which shouts at what nobody else sees is heard less.

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

#: Fast, unlike each other, and each of them fits in constant memory.
MEMBERS: tuple[Detector, ...] = (ZScore(), Mad(), Ewma(), IsolationForest())
#: The part of the history that members are calibrated on is not the part they learn from.
LEARN_SHARE = 0.7
#: No member is ever silenced: what it alone sees may be real.
LEAST_WEIGHT = 0.1


def agreement_weights(surprises: FloatArray) -> FloatArray:
    """Weights of the members, sum 1, from their surprise over the same values, (members, n)."""
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
    """z-score, MAD, EWMA and Isolation Forest, voting."""

    name: ClassVar[str] = "weighted_ensemble"
    min_points: ClassVar[int] = 128

    def fit(self, values: FloatArray) -> FittedWeightedEnsemble:
        """See `models.detect.protocols.Detector.fit`."""
        known = require_points(values, self.min_points, self.name)
        cut = int(LEARN_SHARE * len(known))
        held_out = [detector.fit(known[:cut]).score(known[cut:]) for detector in MEMBERS]
        calibrations = tuple(calibrate(scores) for scores in held_out)
        surprises = np.array(
            [one.surprise_of(scores) for one, scores in zip(calibrations, held_out, strict=True)]
        )
        members = tuple(detector.fit(known) for detector in MEMBERS)
        return FittedWeightedEnsemble(members, calibrations, agreement_weights(surprises))

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
