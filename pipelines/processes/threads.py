"""One thread of the numerical libraries in each process.

Forewarn runs one process for each core; more threads than cores slow each other down. On a busy machine, small matrices
took forty times as long with as many threads as cores.
"""

import logging
import os
from functools import cache

_logger = logging.getLogger("forewarn.processes")

#: The variables by which numerical libraries read their number of threads.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def one_thread_in_a_process() -> None:
    """Limit libraries that are not imported yet. Variables that the user has set stay.

    Commands call it before NumPy is imported.
    """
    for name in THREADS:
        os.environ.setdefault(name, "1")


@cache
def limit_threads() -> None:
    """Limit libraries that are imported already, such as in a notebook, and those to come. Later calls do nothing.

    If any of the variables is set, the user or a command has decided, and nothing changes.
    """
    if any(name in os.environ for name in THREADS):
        return
    from threadpoolctl import threadpool_limits  # here: the command's help does not wait for it

    one_thread_in_a_process()
    threadpool_limits(limits=1)
    _logger.info(
        "numerical libraries use one thread in this process, which is faster here; set %s to choose",
        THREADS[0],
    )
