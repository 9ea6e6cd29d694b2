"""Names of operations with the ids taken out, so that one operation of a service is one series."""

import re

#: What stands for an id.
ID = "{id}"
MAX_CHARS = 200

_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
#: A part of a name: what stands between slashes, blanks and similar signs.
_PART = re.compile(r"[^/\s:?&=,;|()\[\]{}\"']+")
_VERSION = re.compile(r"v\d{1,3}(\.\d{1,3})*")
#: A quoted text or a number with blanks around it, as in a statement of SQL.
_LITERAL = re.compile(r"'[^']*'")
#: Letters and digits mixed so often are random: an id, a token or a hash.
_FEWEST_CHANGES = 4


def operation_of(name: str) -> str:
    """The name of an operation without ids, query string and literals, at most `MAX_CHARS` long.

    Examples:
        >>> operation_of("GET /api/v2/users/4711/orders?page=3")
        'GET /api/v2/users/{id}/orders'
        >>> operation_of("SELECT * FROM users WHERE name = 'Ada'")
        'SELECT * FROM users WHERE name = {id}'
        >>> [operation_of(name) for name in ("GET /cart/{cartId}", "HTTP/1.1 GET", "checkout.Cart/Get", "s3 put")]
        ['GET /cart/{cartId}', 'HTTP/1.1 GET', 'checkout.Cart/Get', 's3 put']
    """
    without_query = name.strip().partition("?")[0] if "/" in name else name.strip()
    plain = _UUID.sub(ID, _LITERAL.sub(ID, without_query))
    found = _PART.sub(lambda part: ID if _is_id(part[0]) else part[0], plain)
    return found[:MAX_CHARS].strip() or "unknown"


def _is_id(part: str) -> bool:
    """Whether a part of a name is a number, a hash, or letters and digits that look random.

    Examples:
        >>> [_is_id(part) for part in ("42", "9f86d081884c7d65", "order-4711", "a1B2c3D4e5", "v2", "1.1", "utf8")]
        [True, True, True, True, False, False, False]
    """
    if not any("0" <= letter <= "9" for letter in part) or _VERSION.fullmatch(part):
        return False
    if part.isdecimal() or re.fullmatch(r"(0x)?[0-9a-fA-F]{8,}", part):
        return True
    words = re.split(r"[-_.]", part)
    if any(len(word) >= 3 and word.isdecimal() for word in words):
        return True
    return any(len(re.findall(r"[0-9]+|[^0-9]+", word)) > _FEWEST_CHANGES for word in words)
