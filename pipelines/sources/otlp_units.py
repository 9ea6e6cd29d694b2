"""Units of OpenTelemetry, which are codes of UCUM, as Forewarn writes units.

References:
    https://ucum.org/ucum
    https://opentelemetry.io/docs/specs/semconv/general/metrics/#instrument-units
"""

import re

_UNITS = {
    "By": "bytes",
    "KiBy": "KiB",
    "MiBy": "MiB",
    "GiBy": "GiB",
    "TiBy": "TiB",
    "kBy": "kB",
    "KBy": "kB",
    "MBy": "MB",
    "GBy": "GB",
    "TBy": "TB",
    "bit": "bits",
    "s": "seconds",
    "us": "µs",
    "mo": "months",
    "a": "years",
    "d": "days",
    "h": "hours",
    "min": "minutes",
    "wk": "weeks",
    "Cel": "celsius",
    "1": "",
}
#: An annotation names what is counted: `{request}`.
_ANNOTATION = re.compile(r"\{([^{}]*)\}")
MAX_CHARS = 60


def unit_of(code: str) -> str:
    """The unit that a code means; a code that is not known stays as it is. Empty: it has no unit.

    Examples:
        >>> [unit_of(code) for code in ("By", "s", "ms", "1", "{request}", "By/s", "{query}", "%")]
        ['bytes', 'seconds', 'ms', '', 'requests', 'bytes/s', 'queries', '%']
    """
    parts = [_part(part, of_one=place > 0) for place, part in enumerate(code.strip().split("/"))]
    if not any(parts):
        return ""
    return "/".join([parts[0] or "1", *parts[1:]])[:MAX_CHARS]


def _part(code: str, *, of_one: bool) -> str:
    """One part of a code; `of_one`: it stands behind the bar, so it is singular."""
    if code in _UNITS:
        return code if of_one and code in {"s", "min", "h", "d"} else _UNITS[code]
    annotation = _ANNOTATION.fullmatch(code)
    if annotation is None:
        plain = _ANNOTATION.sub("", code)
        return _UNITS.get(plain, plain)
    word = annotation[1].strip()
    return word if of_one else plural(word)


def plural(word: str) -> str:
    """The plural of an English word; a plural stays as it is.

    Examples:
        >>> [plural(word) for word in ("request", "process", "entry", "threads", "class", "batch", "")]
        ['requests', 'processes', 'entries', 'threads', 'classes', 'batches', '']
    """
    if not word or (word.endswith("s") and not word.endswith("ss")):
        return word
    if word.endswith(("ss", "x", "ch", "sh")):
        return f"{word}es"
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return f"{word[:-1]}ies"
    return f"{word}s"
