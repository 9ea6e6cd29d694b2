"""Hypothesis strategies over the whole range of float64, and how many examples a test of them runs."""

from functools import cache
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

#: Numbers at which programs fail: zeros, the smallest and largest, a constant and its rounding, neighbours of 1.
AWKWARD = (
    0.0, -0.0, 5e-324, -5e-324, 2.2250738585072014e-308, 1e-300, 1e-12, 0.3, 0.1 + 0.2, 1.0, 1.0 + 2**-52, -1.0,
    4.0, 4.0001, 1e9, 1e18, 2.0**53, 1e150, 1e300, 1.7e308, -1.7e308, 1.7976931348623157e308, -1.7976931348623157e308,
)  # fmt: skip
MAX = AWKWARD[-2]
#: In a usual run, and in `make soak` (the Hypothesis profile `soak`).
EXAMPLES = 500


def many_examples(usual: int = EXAMPLES) -> settings:
    """Settings of a test that runs `usual` examples, and as many as the profile says in `make soak`."""
    return settings(
        max_examples=max(usual, settings().max_examples) if soaking() else usual,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )


def soaking() -> bool:
    return settings.get_current_profile_name() == "soak"


FLOATS = st.sampled_from(AWKWARD) | st.floats(allow_nan=False, allow_infinity=False)


@cache  # Hypothesis checks and labels each new strategy, which took two fifths of a test of a kernel
@st.composite
def courses(draw: st.DrawFn, least: int = 0, most: int = 40, *, gaps: bool = True) -> Any:
    """One float64 array: any numbers, or values that stand at one number, vary around it, or run from it to another."""
    size = draw(st.integers(least, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    base, other = draw(FLOATS), draw(FLOATS)
    with np.errstate(over="ignore", invalid="ignore"):
        match draw(st.sampled_from(("any", "awkward", "still", "noise", "ramp"))):
            case "any":  # every pattern of bits is as likely as every other
                values = rng.integers(0, 2**64, size, dtype=np.uint64).view(np.float64)
            case "awkward":
                values = rng.choice([*AWKWARD, base], size)
            case "still":
                values = np.where(rng.random(size) < 0.2, other, base)
            case "noise":
                values = base * (1.0 + rng.normal(0.0, 0.1, size))
            case _:
                values = base + (other - base) * np.linspace(0.0, 1.0, size)
    values = np.clip(np.where(np.isnan(values), base, values), -MAX, MAX)
    if gaps and draw(st.booleans()):
        values[rng.random(size) < 0.2] = np.nan
    return values
