"""The words of other tools for how severe an alert is."""

from core.domain import Severity

_SEVERITY_OF = {
    **dict.fromkeys(("critical", "page", "error", "high", "emergency", "fatal"), Severity.CRITICAL),
    **dict.fromkeys(("p1", "p2", "sev0", "sev1"), Severity.CRITICAL),
    **dict.fromkeys(("info", "none", "low", "debug", "p4", "p5", "sev3", "sev4"), Severity.INFO),
}


def severity_of(word: str) -> Severity:
    """The severity; of an unknown word: warning."""
    return _SEVERITY_OF.get(word.strip().lower(), Severity.WARNING)
