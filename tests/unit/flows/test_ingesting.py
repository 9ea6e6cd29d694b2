"""Options of `forewarn ingest` that make no sense are refused before anything is opened."""

import pytest

from core.errors import InputError
from flows.commands.ingesting import prometheus


@pytest.mark.parametrize("hours", [0.0, -1.0])
def test_a_first_pull_over_no_time_is_refused_and_not_replaced_by_the_default(hours: float) -> None:
    with pytest.raises(InputError, match="--since-h must be above 0"):
        prometheus("http://127.0.0.1:9", since_h=hours)
