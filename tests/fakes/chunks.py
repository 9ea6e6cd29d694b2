"""Work for clusters: functions that another process can import, as Prefect's tasks must be."""

import math
import os

import polars as pl


def factorial(number: int) -> int:
    return math.factorial(number)


def factorial_and_process(number: int) -> tuple[int, int]:
    """The factorial, and the process that computed it."""
    return math.factorial(number), os.getpid()


def polars_threads(_: int) -> int:
    """How many threads Polars has in the process that computes it."""
    return pl.thread_pool_size()
