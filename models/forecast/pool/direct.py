"""A plain function of the values as a forecaster."""

from dataclasses import dataclass

from core.arrays import FloatArray
from models.forecast.prepared import Prepared, make_ready
from models.forecast.protocols import Course, History


@dataclass(frozen=True, slots=True)
class FittedDirect:
    """A course with the prepared values of one history."""

    ready: Prepared
    course: Course

    def predict(self, horizon_steps: int) -> FloatArray:
        return self.ready.path(self.course, horizon_steps)


@dataclass(frozen=True, slots=True)
class DirectForecaster:
    """A course that is cheap enough to be computed for each forecast."""

    name: str
    course: Course

    def fit(self, history: History) -> FittedDirect:
        return FittedDirect(make_ready(history), self.course)
