"""Prophet as a forecaster. Its state is the JSON of the library itself.

The intervals do not come from Prophet's sampling. They are conformal, as for every other member, so
`uncertainty_samples` is 0, which also saves two thirds of the time of a prediction.
"""

import importlib
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from core.arrays import FloatArray
from core.errors import InsufficientDataError
from models.forecast.protocols import Bounds, History
from models.forecast.states import Arrays, state_text, text_state

#: Prophet itself needs two rows; with fewer than ten its change points make no sense.
MIN_ROWS = 10
#: Steps that are predicted at once: a week of hours takes hardly longer than one hour. Always the same steps, because
#: sums of floats depend on how many rows there are.
BLOCK = 168


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what Prophet and cmdstanpy log at every fit, and nothing else."""
    # The library sets the level of cmdstanpy's logger itself, so only `disabled` works.
    logging.getLogger("cmdstanpy").disabled = True
    logging.getLogger("prophet.plot").disabled = True
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=FutureWarning, module="prophet")
        warnings.filterwarnings("ignore", category=pd.errors.PerformanceWarning)
        # The import sets the level of its logger, so it comes first.
        importlib.import_module("prophet")
        # If Prefect has set up logging, Prophet would log its choices for every series.
        logging.getLogger("prophet").setLevel(logging.WARNING)
        yield


@dataclass(frozen=True, slots=True)
class FittedProphet:
    """A fitted Prophet; `to_json` and `from_json` move it between processes and versions, without pickle."""

    model: Any
    end: datetime
    step_s: int
    bounds: Bounds
    deploys: tuple[datetime, ...] = ()
    _blocks: dict[int, FloatArray] = field(default_factory=dict, compare=False, repr=False)

    def predict(self, horizon_steps: int) -> FloatArray:
        blocks = [self._block(number) for number in range(-(-horizon_steps // BLOCK))]
        return self.bounds.clip(np.concatenate(blocks)[:horizon_steps])

    def _block(self, number: int) -> FloatArray:
        """The prediction of `BLOCK` steps; kept, because each hour asks for the same steps again."""
        if number not in self._blocks:
            steps = range(number * BLOCK, (number + 1) * BLOCK)
            times = [self.end + timedelta(seconds=self.step_s * step) for step in steps]
            frame = pd.DataFrame({"ds": [moment.replace(tzinfo=None) for moment in times]})
            for index, at in enumerate(self.deploys):
                frame[f"deploy_{index}"] = [float(moment >= at) for moment in times]
            with quiet():
                self._blocks[number] = self.model.predict(frame)["yhat"].to_numpy(dtype=np.float64)
        return self._blocks[number]

    def to_json(self) -> str:
        """All of the state: Prophet's own JSON, and what this adapter adds."""
        from prophet.serialize import model_to_dict

        with quiet():
            state = {
                "model": model_to_dict(self.model),
                "end": self.end.isoformat(),
                "step_s": self.step_s,
                "bounds": [self.bounds.lower, self.bounds.upper],
                "deploys": [at.isoformat() for at in self.deploys],
            }
        return json.dumps(state)

    def to_arrays(self) -> Arrays:
        """The JSON as an array of bytes."""
        return text_state(self.to_json())

    @classmethod
    def from_json(cls, text: str) -> "FittedProphet":
        """The inverse of `to_json`; loads data, never code."""
        state = json.loads(text)
        with quiet():
            from prophet.serialize import model_from_dict

            model = model_from_dict(state["model"])
        lower, upper = state["bounds"]
        return cls(
            model=model,
            end=datetime.fromisoformat(state["end"]),
            step_s=state["step_s"],
            bounds=Bounds(lower=lower, upper=upper),
            deploys=tuple(datetime.fromisoformat(at) for at in state["deploys"]),
        )


@dataclass(frozen=True, slots=True)
class ProphetForecaster:
    """Taylor and Letham's additive model, with known deploys as steps and holidays with an effect of their own.

    Never fork a process after a fit, because Stan's threads deadlock. Worker processes are spawned.

    References:
        Taylor, S. J. and Letham, B. (2018). Forecasting at scale. The American Statistician 72(1).
    """

    seed: int = 1
    max_deploys: int = 3
    name: str = "prophet"

    def fit(self, history: History) -> FittedProphet:
        known = np.isfinite(history.values)
        if int(known.sum()) < MIN_ROWS:
            raise InsufficientDataError(f"Prophet needs {MIN_ROWS} values, got {int(known.sum())}")
        with quiet():
            from prophet import Prophet

            model = Prophet(uncertainty_samples=0, holidays=_holidays(history))
            times = pd.date_range(
                history.start.replace(tzinfo=None),
                periods=len(history),
                freq=pd.Timedelta(seconds=history.step_s),
            )
            frame = pd.DataFrame({"ds": times, "y": history.values})[known]
            deploys = self._steps(history)
            for index, at in enumerate(deploys):
                frame[f"deploy_{index}"] = (frame["ds"] >= at.replace(tzinfo=None)).astype(float)
                model.add_regressor(f"deploy_{index}", standardize=False)
            model.fit(frame, seed=self.seed)
        return FittedProphet(model, history.end, history.step_s, history.bounds, deploys)

    def from_arrays(self, arrays: Arrays) -> FittedProphet:
        """The inverse of `FittedProphet.to_arrays`."""
        return FittedProphet.from_json(state_text(arrays))

    def _steps(self, history: History) -> tuple[datetime, ...]:
        """The newest deploys with a day of history on both sides; others cannot be separated from the trend."""
        day = timedelta(days=1)
        inside = [at for at in sorted(history.deploys) if history.start + day <= at <= history.end - day]
        return tuple(inside[-self.max_deploys :])


def _holidays(history: History) -> pd.DataFrame | None:
    """The calendar in Prophet's form; null if the history contains no holiday to learn from."""
    if not any(history.start.date() <= day < history.end.date() for day in history.holidays):
        return None
    days = pd.to_datetime(pd.Series(history.holidays))
    return pd.DataFrame({"holiday": "holiday", "ds": days})
