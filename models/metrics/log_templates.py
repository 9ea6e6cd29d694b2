"""Templates of log lines: what stays the same in lines of the same kind.

A line is reduced to its form: secrets are masked, and numbers, ids, addresses and quoted texts become wildcards. Forms
of the same length that start alike and have most words in common share a template.

References:
    He, Zhu, Zheng, Lyu: Drain: An Online Log Parsing Approach with Fixed Depth Tree. ICWS 2017.
"""

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from functools import lru_cache

from core.secrets_in_text import MASK, masked

WILDCARD = "<*>"
#: Two forms share a template if they have at least this share of their words in common.
SIMILARITY = 0.6
FORM_CHARS = 200
EXAMPLE_CHARS = 500
#: So many characters of a line are read.
_READ_CHARS = 4_000
_JSON_CHARS = 20_000
_SHORT_CHARS = 1_000
#: The form of a line without text.
EMPTY = "(empty)"
_MESSAGES = ("msg", "message", "event", "log", "text", "error")

_VARIABLES = re.compile(
    r"\"[^\"]*\"|'[^']*'"  # quoted texts
    r"|\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b"
    r"|(?:/[\w.@%+~-]+){2,}/?"  # paths
    r"|\b\w+://\S+"
    r"|\b(?=\w*\d)[0-9a-fA-F]{6,}\b|0x[0-9a-fA-F]+"
    r"|(?<![A-Za-z])\d[\d.,:/TZ+-]*(?:[a-zA-Zµ%]{1,3}\b)?"  # numbers with units, times, addresses
)


def form_of(text: str) -> str:
    """The form of a line.

    Examples:
        >>> form_of("2026-01-05 12:00:00,123 ERROR no connection to 10.0.0.7:5432 after 3 tries")
        '<*> <*> ERROR no connection to <*> after <*> tries'
        >>> form_of('{"level": "error", "msg": "payment of order 4711 failed"}')
        'payment of order <*> failed'
    """
    # Only short lines are remembered: senders decide how long their lines are.
    return _short_form(text) if len(text) <= _SHORT_CHARS else _form(text)


@lru_cache(maxsize=20_000)
def _short_form(text: str) -> str:
    return _form(text)


def _form(text: str) -> str:
    # the message comes first, because a JSON object with a mask is no JSON any more
    plain = _VARIABLES.sub(WILDCARD, _readable(_message(text))).replace(MASK, WILDCARD)
    return " ".join(plain.split())[:FORM_CHARS].strip() or EMPTY


def example_of(text: str) -> str:
    """A text as people may see it: on one line, without secrets, at most `EXAMPLE_CHARS` long."""
    return _readable(text)[:EXAMPLE_CHARS]


def _readable(text: str) -> str:
    shown = masked(text.strip()[:_READ_CHARS])
    return "".join(sign if sign.isprintable() else " " for sign in shown)


def _message(text: str) -> str:
    """The message of a line in JSON; another line as it is."""
    if text.startswith("{") and len(text) <= _JSON_CHARS:
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError):
            return text
        found = (fields[name] for name in _MESSAGES if isinstance(fields.get(name), str))
        return next(found, text)
    return text


class Templates:
    """The templates of one service.

    Args:
        patterns: name -> pattern. The name is the first form of a template, and the pattern what all of its forms have
            in common.
        most: so many templates are learned.
    """

    def __init__(self, patterns: Mapping[str, str], most: int) -> None:
        self._most = most
        self._patterns: dict[str, list[str]] = {}
        self._alike: dict[tuple[int, str], list[str]] = defaultdict(list)
        for name, pattern in patterns.items():
            self._add(name, pattern.split(" "))

    def _add(self, name: str, words: list[str]) -> None:
        self._patterns[name] = words
        self._alike[len(words), words[0]].append(name)

    def match(self, form: str) -> str | None:
        """The name of the template that a form fits without a change; null: none."""
        words = form.split(" ")
        for name in self._alike.get((len(words), words[0]), ()):
            pairs = zip(self._patterns[name], words, strict=True)
            if all(own in (WILDCARD, other) for own, other in pairs):
                return name
        return None

    def learn(self, form: str) -> tuple[str, str] | None:
        """Name and pattern of the template of a form, which is made or changed; null: there are too many."""
        words = form.split(" ")
        alike = self._alike.get((len(words), words[0]), ())
        best = max(alike, key=lambda name: self._common(name, words), default=None)
        if best is not None and self._common(best, words) >= SIMILARITY * len(words):
            pairs = zip(self._patterns[best], words, strict=True)
            merged = [own if own == other else WILDCARD for own, other in pairs]
            self._patterns[best] = merged
            return best, " ".join(merged)
        if len(self._patterns) >= self._most:
            return None
        self._add(form, words)
        return form, form

    def _common(self, name: str, words: list[str]) -> int:
        pairs = zip(self._patterns[name], words, strict=True)
        return sum((own == other and own != WILDCARD) or own == WILDCARD for own, other in pairs)
