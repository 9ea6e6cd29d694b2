"""Work for clusters: functions that another process can import, as Prefect's tasks must be."""

import math
import os


def factorial(number: int) -> int:
    return math.factorial(number)


def process_of(number: int) -> int:
    return os.getpid()
