"""The gate between challenger and champion."""

import pytest

from models.lifecycle.promotion import Criterion, decide

ERROR = Criterion("mase", higher_is_better=False, tolerance=0.05)
SKILL = Criterion("average_precision", higher_is_better=True, tolerance=0.05)


@pytest.mark.parametrize(
    ("criterion", "challenger", "champion", "promoted"),
    [
        (ERROR, {"mase": 0.9}, None, True),
        (ERROR, {"mase": 0.9}, {"mase": 1.0}, True),
        (ERROR, {"mase": 1.04}, {"mase": 1.0}, True),
        (ERROR, {"mase": 1.06}, {"mase": 1.0}, False),
        (SKILL, {"average_precision": 0.80}, {"average_precision": 0.70}, True),
        (SKILL, {"average_precision": 0.60}, {"average_precision": 0.70}, False),
        (SKILL, {}, {"average_precision": 0.70}, False),
        (SKILL, {}, None, False),
        (SKILL, {"average_precision": 0.1}, {}, True),
    ],
)
def test_a_challenger_is_promoted_unless_it_is_unmeasured_or_worse_beyond_the_noise(
    criterion: Criterion,
    challenger: dict[str, float],
    champion: dict[str, float] | None,
    promoted: bool,
) -> None:
    decision = decide(criterion, challenger, champion)
    assert decision.promote is promoted
    assert criterion.metric in decision.reason
