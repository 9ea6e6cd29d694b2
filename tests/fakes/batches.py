"""What a batch of a file holds."""

from core.batch import Batch


def values_of(batch: Batch) -> list[float]:
    """The values of all samples."""
    assert batch.samples is not None
    return batch.samples["value"].to_list()


def reasons_of(batch: Batch) -> list[str]:
    """Why rows were rejected."""
    assert batch.rejected is not None
    return batch.rejected["reason"].to_list()
