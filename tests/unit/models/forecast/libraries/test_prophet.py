"""Prophet takes the calendar that it is given."""

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np

from models.forecast.libraries.prophet import FittedProphet, ProphetForecaster
from models.forecast.protocols import History

ROOT = Path(__file__).parents[5]
START = datetime(2026, 4, 6, tzinfo=UTC)
SEEN = (date(2026, 4, 15), date(2026, 4, 23))
COMING = date(2026, 5, 5)  # a Tuesday


def history(holidays: tuple[date, ...]) -> History:
    hours = np.arange(28 * 24)
    days = [(START + timedelta(hours=int(hour))).date() for hour in hours]
    quiet = np.array([day in SEEN for day in days])
    values = 100 + 20 * np.sin(2 * np.pi * hours / 24) - 50 * quiet
    return History(values=values + np.random.default_rng(1).normal(0, 1, hours.size), start=START, step_s=3600,
                   seasons=(24, 168), holidays=holidays)  # fmt: skip


def forecast_of_the_day(holidays: tuple[date, ...]) -> float:
    fitted = ProphetForecaster().fit(history(holidays))
    yhat = FittedProphet.from_json(fitted.to_json()).predict(48)  # Monday 4 and Tuesday 5 May
    return float(yhat[24:].mean())


def test_a_holiday_to_come_goes_like_those_seen() -> None:
    assert forecast_of_the_day((*SEEN, COMING)) < 60
    assert forecast_of_the_day(SEEN) > 85


def test_a_holiday_that_none_was_seen_before_is_a_usual_day() -> None:
    assert forecast_of_the_day((COMING,)) > 80


def test_a_shorter_forecast_is_the_beginning_of_a_longer_one() -> None:
    fitted = ProphetForecaster().fit(history(SEEN))
    text = fitted.to_json()
    long = fitted.predict(400)
    assert long.size == 400
    assert fitted.predict(30).tolist() == long[:30].tolist()
    for steps in (1, 168, 169):
        again = FittedProphet.from_json(text).predict(steps)
        assert again.tolist() == long[:steps].tolist(), "whatever was asked before"


def test_the_first_fit_of_a_process_logs_nothing() -> None:
    code = (
        "import logging; logging.basicConfig(level=logging.INFO)\n"
        "from datetime import UTC, datetime\n"
        "import numpy as np\n"
        "from models.forecast.libraries.prophet import ProphetForecaster\n"
        "from models.forecast.protocols import History\n"
        "values = np.sin(np.arange(200) / 4)\n"
        "start = datetime(2026, 4, 6, tzinfo=UTC)\n"
        "ProphetForecaster().fit(History(values=values, start=start, step_s=3600, seasons=(24,))).predict(3)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout + done.stderr == ""
