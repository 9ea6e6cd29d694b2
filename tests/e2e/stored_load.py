"""What must be stored of the samples that `servers.load` sends."""

from datetime import datetime, timedelta

import numpy as np
from servers.load import GROWTH, STEP_S, series_of_shard, value_of

from pipelines.stores.store import Store


def assert_all_stored(store: Store, shard: int, acknowledged: int, start: datetime) -> None:
    """Each acknowledged sample is stored with its value; a counter has its rate from the second count on."""
    numbers = {}
    for one in store.series.find():
        text = one.labels.get("device", one.labels.get("path", ""))
        numbers[int("".join(filter(str.isdigit, text.removeprefix("/api/v1/"))))] = one.series_id
    mine = series_of_shard(shard)
    scrapes, rest = divmod(acknowledged, len(mine))
    end = start + timedelta(seconds=STEP_S * (scrapes + 1))
    for first in range(0, len(mine), 500):
        part = mine[first : first + 500]
        frame = store.samples.read(start, end, [numbers[number] for number in part if number in numbers])
        found = {
            series_id: (times.to_physical().to_numpy(), values.to_numpy())
            for series_id, times, values in (
                (key[0], rows["ts"], rows["value"]) for key, rows in frame.group_by("series_id")
            )
        }
        for position, number in enumerate(part, first):
            sent = np.arange(scrapes + (position < rest))
            counter = number % 2 == 1
            expected = (
                np.full(max(0, len(sent) - 1), GROWTH / STEP_S)
                if counter
                else [value_of(number, scrape) for scrape in sent.tolist()]
            )
            if not len(expected):
                continue
            times, values = found[numbers[number]]
            at = round(start.timestamp()) * 1_000_000 + 1_000_000 * STEP_S * sent[1 if counter else 0 :]
            # The last request may be stored and its acknowledgement not have been waited for.
            np.testing.assert_array_equal(times[: len(at)], at)
            np.testing.assert_allclose(values[: len(at)], expected, rtol=1e-9)
