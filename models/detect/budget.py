"""From a budget of false alarms to the p-values that count as anomalies: false-discovery control over a fleet.

Every value of every series is a test. There are millions of tests a week, and almost all values are normal. A fixed
threshold makes false alarms in proportion to the number of tests. Here each test spends from a budget, and findings
earn some of it back: in quiet times there are few alarms, and a real incident is found at once.

References:
    Ramdas et al. (2017), Online control of the false discovery rate with decaying memory, NeurIPS (LORD++).
    Foster and Stine (2008), Alpha-investing, J. Royal Statistical Society B 70.
"""

from dataclasses import dataclass

import numba
import numpy as np

from core.arrays import BoolArray, FloatArray
from core.durations import WEEK_S
from core.errors import InputError

#: Stands for all services that have no budget of their own.
OTHERS = "*"
#: The bonus is at most so many times the base, because many findings at once must not make noise a finding.
MOST_BONUS = 2.0
#: No finding of any budget has a larger p-value than the first number in quiet times, and than the second one ever.
MOST_BASE_ALPHA = 0.01
MOST_ALPHA = (1.0 + MOST_BONUS) * MOST_BASE_ALPHA


@dataclass(frozen=True, slots=True)
class AlertBudget:
    """A steady allowance of false alarms, and a bonus for a while after each finding.

    Attributes:
        alarms_per_week: accepted false alarms a week over all series that share the budget, > 0.
        tests_per_week: number of values a week of all these series together, > 0.
        earned: the bonus of a finding as a share of one alarm, in [0, 1).
        memory_s: how fast the bonus decays.
    """

    alarms_per_week: float
    tests_per_week: float
    earned: float = 0.5
    memory_s: float = 6 * 3600.0

    def __post_init__(self) -> None:
        if self.alarms_per_week <= 0 or self.tests_per_week <= 0:
            raise InputError("an alert budget needs alarms and tests a week above 0")
        if not 0.0 <= self.earned < 1.0:
            raise InputError(f"earned must be at least 0 and below 1, got {self.earned}")

    @property
    def base_alpha(self) -> float:
        """The largest p-value of a finding in quiet times. It spends the allowance evenly.

        Every false alarm earns `earned` of another one. With the factor, their geometric series stays within the
        allowance.
        """
        return min(MOST_BASE_ALPHA, (1.0 - self.earned) * self.alarms_per_week / self.tests_per_week)

    @property
    def highest_alpha(self) -> float:
        """No p-value above this is ever a finding."""
        return (1.0 + MOST_BONUS) * self.base_alpha

    def decide(self, p_values: FloatArray, times_s: FloatArray) -> tuple[BoolArray, FloatArray]:
        """Decide one test after the other; a later test never changes an earlier decision.

        Args:
            p_values: of all series in the order of time, shape (n,); NaN is no test.
            times_s: their epoch seconds, shape (n,), rising.
        Returns:
            Whether each is a finding, and the threshold that was used for it.
        """
        tests_per_memory = max(self.tests_per_week * self.memory_s / WEEK_S, 1.0)
        return _decide(
            np.asarray(p_values, dtype=np.float64), np.asarray(times_s, dtype=np.float64), self.base_alpha,
            self.earned / tests_per_memory, self.memory_s,
        )  # fmt: skip


@numba.njit(cache=True, nogil=True)
def _decide(
    p_values: FloatArray, times_s: FloatArray, base: float, earned: float, memory_s: float
) -> tuple[BoolArray, FloatArray]:
    found = np.zeros(p_values.size, dtype=np.bool_)
    thresholds = np.empty(p_values.size)
    bonus = 0.0
    last_s = times_s[0] if times_s.size else 0.0
    for i in range(p_values.size):
        bonus *= np.exp(-(times_s[i] - last_s) / memory_s)
        last_s = times_s[i]
        threshold = base + min(bonus, MOST_BONUS * base)
        thresholds[i] = threshold
        if p_values[i] <= threshold:
            found[i] = True
            bonus += earned
    return found, thresholds
