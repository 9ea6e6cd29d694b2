"""What Prefect logs about an error that Forewarn raises on purpose: one line, never a traceback."""

import logging

from core.errors import ForewarnError

#: Words of Prefect in its records about an error after which nothing is tried again.
_FINAL = ("encountered an exception", "Encountered exception", "Retries are exhausted", "Retry condition")
_LOGGERS = ("prefect.flow_runs", "prefect.task_runs")


class _NoTracebacks(logging.Filter):
    """Removes the traceback from records about a `ForewarnError`. Tracebacks of faults in the program stay."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], ForewarnError):
            record.exc_info, record.exc_text = None, None
        return True


class _NoFinalErrors(logging.Filter):
    """Drops records about the `ForewarnError` that ends a run, because the command prints it. Retries stay."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        final = any(words in text for words in _FINAL)
        return not (final and any(name in text for name in _error_names()))


class _NoCycles(logging.Filter):
    """Drops records about steps that were skipped and late cycles, because the command says so in its own words."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        return " is skipped: " not in text and " between cycles; " not in text


_NO_TRACEBACKS = _NoTracebacks()
_NO_FINAL_ERRORS = _NoFinalErrors()
_NO_CYCLES = _NoCycles()


def no_tracebacks() -> None:
    """Log errors of Forewarn without a traceback. Calling it again changes nothing."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_NO_TRACEBACKS)


def no_final_errors() -> None:
    """Do not log the error that ends a run. Only for commands, which print it themselves."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_NO_FINAL_ERRORS)


def only_warnings() -> None:
    """Log no skipped steps, late cycles or choices of Prophet. Only for commands that print what matters themselves."""
    # Prophet sets its own level when it is imported.
    logging.getLogger("prophet").addFilter(_only_warnings)
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_NO_CYCLES)


def _only_warnings(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING


def _error_names() -> set[str]:
    names, left = set(), [ForewarnError]
    while left:
        found = left.pop()
        names.add(found.__name__)
        left += found.__subclasses__()
    return names
