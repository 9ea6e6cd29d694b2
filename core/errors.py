"""The exception tree: one class per failure that a caller can tell apart.

ForewarnError
├── InputError                  the caller sent something wrong (HTTP 4xx, exit code 2)
│   ├── InvalidFrameError       a frame lacks a column or has a wrong dtype
│   ├── UnknownSeriesError      no such series for this tenant
│   └── NotFoundError           no such signal, model, version, ...
├── AuthenticationError         no key, or a wrong one
├── ConfigurationError          a setting is missing or contradicts another
├── NothingAcceptedError         an ingest read rows and accepted none
├── InsufficientDataError       too little history to answer honestly
├── LeakageError                a training set holds something from its own future
├── ModelUnavailableError       nothing that this release can read is registered under that alias yet
├── BusyError                   another process does the same job now
├── WorkerLostError             worker processes were killed again and again by the same work
├── StorageError                a disk is full, or a folder cannot be written
├── DamagedArchiveError         a file of the archive is missing, or is not what was written
└── UnavailableError            a server that we depend on does not answer
    ├── ArchiveUnavailableError the archive cannot be written or read now
    └── RetryLaterError         it asks for no further request before a time
"""

from datetime import datetime


class ForewarnError(Exception):
    """Base of all errors that Forewarn raises on purpose; the text is one clear sentence."""


class InputError(ForewarnError):
    """The caller sent something wrong; the text names what, and what to do."""


class InvalidFrameError(InputError):
    """A frame lacks a column or has a wrong dtype."""


class UnknownSeriesError(InputError):
    """No such series for this tenant."""


class NotFoundError(InputError):
    """The thing that was asked for by name does not exist for this tenant."""


class AuthenticationError(ForewarnError):
    """No API key was given, or one that is not valid."""


class ConfigurationError(ForewarnError):
    """A setting is missing or contradicts another."""


class NothingAcceptedError(ForewarnError):
    """An ingest found something to read and accepted nothing of it."""


class InsufficientDataError(ForewarnError):
    """Too little history to answer honestly."""


class LeakageError(ForewarnError):
    """A training set holds something from its own future."""


class ModelUnavailableError(ForewarnError):
    """Nothing that this release can read is registered under that name and alias yet."""


class BusyError(ForewarnError):
    """Another process does the same job now; the text names it and since when."""


class WorkerLostError(ForewarnError):
    """Worker processes were killed again and again by the same work; the text names the remedy."""


class StorageError(ForewarnError):
    """A disk is full, or a folder cannot be written; the text names it and the remedy."""


class DamagedArchiveError(ForewarnError):
    """A file of the archive is missing, or is not what was written; the text names it and the remedy."""


class UnavailableError(ForewarnError):
    """A server that we depend on does not answer."""


class ArchiveUnavailableError(UnavailableError):
    """The archive cannot be written or read now; the text names the place and the reason."""


class RetryLaterError(UnavailableError):
    """A server asks for no further request before `retry_at` (UTC)."""

    def __init__(self, text: str, retry_at: datetime) -> None:
        super().__init__(text)
        self.retry_at = retry_at
