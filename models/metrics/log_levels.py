"""The level of a log line: from its severity, else from its fields, else from its text."""

import json
import re
from collections.abc import Iterable, Mapping

TRACE, DEBUG, INFO, WARNING, ERROR, FATAL = LEVELS = ("trace", "debug", "info", "warning", "error", "fatal")
UNKNOWN = "unknown"
#: Levels that tell of a failure.
FAILURES = frozenset({ERROR, FATAL})
#: Names of fields that hold the level, the most usual first.
LEVEL_FIELDS = (
    "level",
    "severity",
    "log.level",
    "detected_level",
    "lvl",
    "levelname",
    "loglevel",
    "severity_text",
)

#: As syslog, Java, Python, Go, .NET and Kubernetes write them.
_WORDS: Mapping[str, str] = {
    word: level
    for level, words in (
        (TRACE, "trace finest finer verbose trc"),
        (DEBUG, "debug fine dbg"),
        (INFO, "info information informational notice config log inf"),
        (WARNING, "warning warn wrn"),
        (ERROR, "error err severe failure eror"),
        (FATAL, "fatal critical crit alert emerg emergency panic dpanic ftl"),
    )
    for word in words.split()
}
#: Numbers of Bunyan and Pino.
_NUMBERS = {10: TRACE, 20: DEBUG, 30: INFO, 40: WARNING, 50: ERROR, 60: FATAL}
#: In logfmt, as in `level=error msg="..."`.
_FIELD = re.compile(r"(?:^|[\s,{])(?:level|lvl|severity|loglevel)\s*=\s*\"?([A-Za-z]+)", re.IGNORECASE)
#: A word in capitals or in brackets near the start, as in `2026-01-05 12:00:00 ERROR ...` or `[warn] ...`.
_WORD = re.compile(r"\[\s*([A-Za-z]+)\s*\]|(?<![A-Za-z0-9_.-])([A-Z]{3,9})(?=[\s:|\]\[,;-])")
#: klog: `E0105 12:00:00.000000 ...`.
_KLOG = re.compile(r"([IWEF])\d{4} \d\d:\d\d:\d\d")
_KLOG_LEVELS = {"I": INFO, "W": WARNING, "E": ERROR, "F": FATAL}
#: A level stands so near to the start of a line.
_START_CHARS = 120
_JSON_CHARS = 20_000


def level_of_number(severity: int) -> str | None:
    """The level of a severity number of OpenTelemetry (1 to 24); null for another number.

    Examples:
        >>> [level_of_number(severity) for severity in (0, 1, 9, 17, 24, 25)]
        [None, 'trace', 'info', 'error', 'fatal', None]
    """
    return LEVELS[(severity - 1) // 4] if 1 <= severity <= 24 else None


def level_of_word(word: str) -> str | None:
    """The level that a word or a number of Bunyan means; null: it means none.

    Examples:
        >>> [level_of_word(word) for word in ("WARN", "err", "50", "Error2", "blue")]
        ['warning', 'error', 'error', 'error', None]
    """
    plain = word.strip().lower()
    if plain.isdecimal():
        return _NUMBERS.get(int(plain)) if len(plain) < 4 else None
    return _WORDS.get(plain.rstrip("0123456789"))


def level_of_fields(fields: Mapping[str, object], names: Iterable[str] = LEVEL_FIELDS) -> str | None:
    """The level that a field names; null: none does."""
    found = (level_of_word(str(fields[name])) for name in names if name in fields)
    return next((level for level in found if level is not None), None)


def level_of_text(text: str) -> str | None:
    """The level that a line names itself; null: it names none.

    Examples:
        >>> level_of_text('{"level": "error", "msg": "no answer"}'), level_of_text('ts=1 level=warn msg="slow"')
        ('error', 'warning')
        >>> level_of_text("2026-01-05 12:00:00,1 ERROR [main] no answer"), level_of_text("[notice] started")
        ('error', 'info')
        >>> level_of_text("GET /error 200") is None
        True
    """
    if text.startswith("{") and len(text) <= _JSON_CHARS:
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError):
            fields = None
        if isinstance(fields, dict):
            return level_of_fields(fields)
    start = text[:_START_CHARS]
    if match := _KLOG.match(start):
        return _KLOG_LEVELS[match[1]]
    named = _FIELD.search(start)
    words = [named[1]] if named else [one[1] or one[2] for one in _WORD.finditer(start)]
    return next((level for level in map(level_of_word, words) if level is not None), None)
