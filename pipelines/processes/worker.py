"""Work and its result as bytes, for workers of any kind.

It imports only the standard library, so that the work decides what else a worker imports.
"""

import pickle
import traceback
from collections.abc import Callable
from typing import Any


def message_of(function: Callable[[Any], object], chunk: object) -> bytes:
    """The message that asks a worker for `function(chunk)`."""
    return pickle.dumps((function, chunk), pickle.HIGHEST_PROTOCOL)


def value_of(answer: bytes) -> Any:
    """The result in an answer; raises the error of the function if it raised one."""
    value, error = pickle.loads(answer)  # noqa: S301 - it comes from our own worker
    if error is not None:
        raise error
    return value


def answer_to(message: bytes) -> bytes:
    """Compute what a message asks for; the answer is the result, or the error that the function raised."""
    try:
        function, chunk = pickle.loads(message)  # noqa: S301 - it comes from the process that started this one
        return pickle.dumps((function(chunk), None), pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # noqa: BLE001 - whoever waits for the result gets it
        return pickle.dumps((None, _sendable(error)), pickle.HIGHEST_PROTOCOL)


def _sendable(error: Exception) -> Exception:
    """The error with its traceback as a note; one that cannot be sent becomes a RuntimeError with its text."""
    error.add_note(f"in a worker process:\n{traceback.format_exc()}")
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - just made
    except Exception:  # noqa: BLE001 - an error's own way of being sent may raise anything
        return RuntimeError("".join(traceback.format_exception(error)))
    return error
