"""How many false alarms are bearable, and which p-values that lets through: false-discovery control over a fleet.

Every value of every series is a test; there are millions a week and almost all are quiet. A fixed threshold makes
false alarms in proportion to the tests; here each test spends from a budget that true findings earn back, so that
quiet times stay quiet and a real incident is heard at once.

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


@dataclass(frozen=True, slots=True)
class AlertBudget:
    """A steady allowance of false alarms, with more to spend just after findings that held.

    Attributes:
        alarms_per_week: expected false alarms a week that are bearable, over all series that share it, > 0.
        tests_per_week: how many values are tested in a week, over all those series together, > 0.
        earned: wealth that a finding adds, as a share of one alarm; it decays with a memory of `memory_s`.
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
        """The p-value that passes in quiet times: spends the allowance evenly.

        Every false alarm itself earns `earned` of another one, hence the factor: the geometric series of them all
        stays within the allowance.
        """
        return min(0.01, (1.0 - self.earned) * self.alarms_per_week / self.tests_per_week)

    def decide(self, p_values: FloatArray, times_s: FloatArray) -> tuple[BoolArray, FloatArray]:
        """Which tests are findings, one after the other; a later test never changes an earlier decision.

        Args:
            p_values: in the order of time, over all series; NaN is no test. times_s: their epoch seconds, rising.
        Returns:
            Whether each is a finding, and the threshold that it was held against.
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
        # What is spent at once is bounded: a storm of findings must not open the gate to noise.
        threshold = base + min(bonus, 2.0 * base)
        thresholds[i] = threshold
        if p_values[i] <= threshold:
            found[i] = True
            bonus += earned
    return found, thresholds
