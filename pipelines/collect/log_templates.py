"""Find the templates of log lines. They are in the database, so that all processes have the same."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from core.logs import LogTemplate
from core.ports import Store
from models.metrics.log_templates import Templates, example_of, form_of
from pipelines.sources.log_lines import LogLine

#: So many templates of a service are counted; the lines of all others are counted together.
MAX_TEMPLATES = 100
OTHER = "other"


def templates_of(store: Store, lines: Iterable[LogLine], now: datetime) -> Mapping[tuple[str, str], str]:
    """Service and text -> the name of its template, `OTHER` beyond `MAX_TEMPLATES`; within a transaction."""
    texts = {(one.service, one.text): one for one in lines}
    forms: dict[tuple[str, str], LogLine] = {}
    for (service, text), line in texts.items():
        forms.setdefault((service, form_of(text)), line)
    names = _matched(store, forms)
    unknown = [key for key in forms if key not in names]
    if unknown:
        store.logs.hold_templates()
        # another process may have learned them by now
        names |= _learned(store, {key: forms[key] for key in unknown}, now)
    seen = {(service, name) for (service, _), name in names.items() if name != OTHER}
    store.logs.see_templates(sorted(seen), now)
    return {(service, text): names[service, form_of(text)] for service, text in texts}


def _trees(store: Store, services: Iterable[str]) -> dict[str, Templates]:
    patterns: dict[str, dict[str, str]] = {service: {} for service in services}
    for one in store.logs.templates(sorted(patterns)):
        patterns[one.service][one.name] = one.pattern
    return {service: Templates(found, MAX_TEMPLATES) for service, found in patterns.items()}


def _matched(store: Store, forms: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    keys = list(forms)
    trees = _trees(store, {service for service, _ in keys})
    found = {(service, form): trees[service].match(form) for service, form in keys}
    return {key: name for key, name in found.items() if name is not None}


def _learned(
    store: Store, forms: Mapping[tuple[str, str], LogLine], now: datetime
) -> dict[tuple[str, str], str]:
    trees = _trees(store, {service for service, _ in forms})
    names: dict[tuple[str, str], str] = {}
    changed: dict[tuple[str, str], LogTemplate] = {}
    for (service, form), line in sorted(forms.items()):
        known = trees[service].match(form)
        learned = (known, "") if known is not None else trees[service].learn(form)
        names[service, form] = OTHER if learned is None else learned[0]
        if learned is not None and learned[1]:
            name, pattern = learned
            changed[service, name] = LogTemplate(
                tenant=store.tenant,
                service=service,
                name=name,
                pattern=pattern,
                level=line.level,
                example=example_of(line.text),
                first_seen=now,
                seen_at=now,
            )
    store.logs.save_templates(list(changed.values()))
    return names
