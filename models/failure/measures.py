"""Quality figures of failure predictions."""

import numpy as np
from sklearn.metrics import precision_recall_curve

from core.arrays import FloatArray


def precision_at_recall(happened: FloatArray, scores: FloatArray, recall: float) -> float:
    """The best precision among thresholds that find at least this share of the positives.

    Args:
        happened: 1 where the failure came, else 0.
        scores: higher is more likely to fail.
        recall: in [0, 1].
    Returns:
        In [0, 1].

    Examples:
        >>> precision_at_recall(np.array([0.0, 1.0, 1.0]), np.array([0.1, 0.8, 0.9]), 0.8)
        1.0
    """
    precision, found, _ = precision_recall_curve(happened, scores)
    return float(precision[found >= recall].max())


def nasa_score(predicted: FloatArray, truth: FloatArray) -> float:
    """Sum of exponential penalties; late predictions (predicted > truth) cost more than early ones.

    Args:
        predicted: remaining cycles.
        truth: true remaining cycles.
    Returns:
        Not negative, 0 is perfect.

    References:
        Saxena, A., et al. (2008). Damage propagation modeling for aircraft engine run-to-failure simulation. PHM.
    """
    late = predicted - truth
    return float(np.sum(np.where(late < 0, np.exp(-late / 13), np.exp(late / 10)) - 1))


def coverage(truth: FloatArray, low: FloatArray, high: FloatArray) -> float:
    """Share of the true values within [low, high], in [0, 1]."""
    return float(np.mean((truth >= low) & (truth <= high)))
