"""Simple models to compare failure models with: a logistic regression, and a threshold on one level."""

from collections.abc import Callable

import numpy as np
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from core.arrays import Float32Array, FloatArray

Scorer = Callable[[Float32Array], FloatArray]


def fit_logistic(x: Float32Array, y: FloatArray, seed: int = 0) -> Scorer:
    """Logistic regression on the same features; it returns probabilities. Missing values become the median."""
    known = ~np.isnan(y)
    model = make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True),
        StandardScaler(),
        LogisticRegression(C=0.1, max_iter=500, random_state=seed),
    )
    model.fit(x[known], y[known])
    return lambda rows: np.asarray(model.predict_proba(rows)[:, 1], dtype=np.float64)


def fit_rule(x: Float32Array, y: FloatArray, columns: list[int]) -> Scorer:
    """A threshold on one level, as people set it: the one of `columns` that ranks the past best, up or down."""
    known = ~np.isnan(y)
    best, column, sign = -1.0, columns[0], 1.0
    for candidate in columns:
        values = np.nan_to_num(x[known, candidate].astype(np.float64))
        ranks = np.argsort(np.argsort(values)) / max(len(values) - 1, 1)
        apart = float(ranks[y[known] > 0].mean() - ranks[y[known] == 0].mean())
        if abs(apart) > best:
            best, column, sign = abs(apart), candidate, 1.0 if apart >= 0 else -1.0
    return lambda rows: np.asarray(sign * np.nan_to_num(rows[:, column].astype(np.float64)))
