"""Secrets and personal data in texts that others write, such as log lines: they are masked before anything is stored.

References:
    https://docs.github.com/en/code-security/secret-scanning/introduction/supported-secret-scanning-patterns
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
"""

import re
from collections.abc import Callable

MASK = "***"

#: What stands before a keyword belongs to the key as well (`db_password`), but need not be found.
_KEYS = (
    r"(?:(?:passw(?:or)?d|passwd|pwd|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key"
    r"|client[_-]?key|credential|session[_-]?id|cookie|signature|authorization)[\w-]{0,20}|\b(?:auth|pin|otp|sig))"
)
_PATTERNS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    # a key as PEM has it, also if the line is cut or its line breaks are escaped
    (
        re.compile(
            r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|$)", re.S
        ),
        MASK,
    ),
    # the scheme stays, because it tells how somebody signs in
    (
        re.compile(r"\b(Bearer|Basic|Digest|Negotiate|Token|ApiKey)\s+[A-Za-z0-9+/=._~:-]{6,}", re.I),
        rf"\1 {MASK}",
    ),
    (
        re.compile(
            rf"""(?P<key>{_KEYS})(?P<sign>\\?["']?\s*(?:=>|:=|=|:)\s*)"""
            rf"""(?:(?P<quote>\\?["'])(?:(?!(?P=quote)).)*(?:(?P=quote)|$)|(?:(?:Bearer|Basic)\s+)?[^\s,;&"'}}\]]+)""",
            re.I,
        ),
        rf"\g<key>\g<sign>{MASK}",
    ),
    # user and password of an address
    (re.compile(r"(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"), MASK),
    (re.compile(r"\b(?:AKIA|ASIA|AGPA|AIDA|AROA|ANPA)[A-Z0-9]{16}\b"), MASK),
    (re.compile(r"\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}"), MASK),
    (
        re.compile(r"\bxox[abeoprs]-[\w-]{8,}|\bsk-[\w-]{16,}|\b[rs]k_(?:live|test)_\w{8,}|\bAIza[\w-]{30,}"),
        MASK,
    ),
    (re.compile(r"\bfw_[\w-]{16,}"), MASK),
    # a JSON web token
    (re.compile(r"\beyJ[\w-]{6,}\.[\w-]{4,}(?:\.[\w-]*)?"), MASK),
    (re.compile(r"[\w.+%-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){0,8}\.[A-Za-z]{2,}\b"), MASK),
    (re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b"), MASK),
    (re.compile(r"(?<![\d.])\d(?:[ -]?\d){12,18}(?![\d.])"), lambda found: _card_or_number(found[0])),
    # what is long and mixed is a secret more often than not, such as the secret key of AWS
    (
        re.compile(
            r"(?<![\w/+.-])(?=[\w/+]*\d)(?=[\w/+]*[a-z])(?=[\w/+]*[A-Z])[\w/+]{32,}={0,2}(?![\w/+.-])"
        ),
        MASK,
    ),
)


def masked(text: str) -> str:
    """The text with each secret, address of e-mail, number of a card and number of an account as `MASK`.

    Examples:
        >>> masked('user=ada password="a b" Authorization: Bearer abc.def.ghi')
        'user=ada password=*** Authorization: ***'
        >>> masked("card 4111 1111 1111 1111 of ada@example.com, order 1234567890123")
        'card *** of ***, order 1234567890123'
    """
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def _card_or_number(text: str) -> str:
    """`MASK` for the number of a card, which has the check digit of Luhn; another number stays."""
    digits = [int(sign) for sign in reversed(text) if sign.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return MASK if (sum(digits[::2]) + sum(doubled)) % 10 == 0 else text
