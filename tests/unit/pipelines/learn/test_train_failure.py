"""What is recorded of the search for a failure model."""

from models.failure.balance import CANDIDATES, Trial
from pipelines.learn.train_failure import _attempt


def test_the_chosen_candidate_is_marked_wherever_it_ranks() -> None:
    first, second = CANDIDATES[:2]
    chosen = {**second.params, "balance": second.balance, "folds": 3}
    names = [
        _attempt(place, Trial(candidate=candidate, average_precision=0.9), chosen).name
        for place, candidate in enumerate((first, second))
    ]
    assert names == [f"1. {first.balance}", f"2. {second.balance} (chosen)"]
