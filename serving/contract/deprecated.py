"""Old names in requests: they work for one release, and the response headers name the replacement.

Old names in responses are added by `pipelines.common.deprecated`.

References:
    RFC 9745, The Deprecation HTTP Response Header Field.
"""

from typing import Protocol, runtime_checkable

#: 2026-11-29 in seconds since 1970: the release that gave the API its current names.
DEPRECATED_SINCE = 1_795_910_400


@runtime_checkable
class HasOldNames(Protocol):
    """A request that still accepts old names."""

    @property
    def deprecation(self) -> str | None:
        """Which old name was used and what replaces it; null when the request uses current names only."""
        ...


def deprecation_headers(request: object) -> dict[str, str]:
    """`Deprecation`, and `Warning` with a sentence, when the request uses an old name; else nothing."""
    notice = request.deprecation if isinstance(request, HasOldNames) else None
    if notice is None:
        return {}
    return {"Deprecation": f"@{DEPRECATED_SINCE}", "Warning": f'299 forewarn "{notice}"'}
