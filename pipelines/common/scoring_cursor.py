"""The cursor that stores until when samples have been scored."""

from datetime import datetime

from core.ports import Store

SCORED_UNTIL = "score"


def score_again_from(store: Store, start: datetime) -> None:
    """Let the next run of `detect` score the samples from this time on, because they are stored only now."""
    scored = store.cursors.get(SCORED_UNTIL)
    if scored is not None and datetime.fromisoformat(scored) > start:
        store.cursors.set(SCORED_UNTIL, start.isoformat())
