"""Draws what happens besides incidents: deploys, canaries, autoscaling, restarts, gaps, a resized disk, a holiday."""

from bisect import bisect_right
from dataclasses import dataclass, field

from core.durations import DAY_S
from pipelines.sources.simulation.exporters.clock import ZONE_S, Calendar, seeded
from pipelines.sources.simulation.exporters.company import HOST_ROLES, App, Company
from pipelines.sources.simulation.exporters.incidents import ExporterIncident, draw_incidents

#: Days after the end of the history for which events are drawn, so that live pages continue.
FUTURE_DAYS = 14
#: Mean days between two deploys of one service.
DEPLOY_GAP_DAYS = 4.0
#: A canary pod runs so long before the others get the new version.
CANARY_S = 1800
#: Seconds between the starts of two new pods of one deploy.
ROLL_S = 60
#: Mean days between two restarts of one exporter.
RESTART_GAP_DAYS = 20.0
#: A letter or digit of the names that Kubernetes gives to pods (its `SafeEncodeString`).
POD_LETTERS = "bcdfghjklmnpqrstvwxz2456789"


@dataclass(frozen=True, slots=True)
class Deploy:
    """A new version of a service; the canary, if there is one, starts at `canary_at`."""

    service: str
    at: int
    version: str
    canary_at: int | None


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod; it lives from `born` until `died`."""

    service: str
    name: str
    ip: str
    node: str
    version: str
    born: int
    died: int


@dataclass(frozen=True, slots=True)
class Happening:
    """A change that is no incident, such as a feature flag."""

    kind: str
    what: str
    at: int
    until: int | None = None


@dataclass(slots=True)
class Timeline:
    """All that happens from `start` to `until`; the history ends at `end`. Times are seconds since the epoch."""

    start: int
    end: int
    until: int
    calendar: Calendar
    incidents: list[ExporterIncident]
    deploys: list[Deploy] = field(default_factory=list)
    pods: list[Pod] = field(default_factory=list)
    happenings: list[Happening] = field(default_factory=list)
    restarts: dict[str, list[int]] = field(default_factory=dict)
    gaps: list[tuple[int, int]] = field(default_factory=list)

    def first(self, kind: str) -> Happening | None:
        """The happening of a kind that occurs once."""
        return next((one for one in self.happenings if one.kind == kind), None)

    def pods_between(self, first: int, last: int) -> list[Pod]:
        """The pods that live at some time in the range."""
        return [pod for pod in self.pods if pod.born <= last and pod.died > first]


def draw_timeline(company: Company, start: int, end: int) -> Timeline:
    """Draw everything that happens."""
    days = (end - start) / DAY_S
    timeline = Timeline(
        start=start,
        end=end,
        until=end + FUTURE_DAYS * DAY_S,
        calendar=_calendar(start, days),
        incidents=draw_incidents(company, start, end),
    )
    _draw_happenings(company, timeline, days)
    for index, app in enumerate(company.apps):
        deploys = _deploys(app, company.seed, timeline)
        timeline.deploys += deploys
        timeline.pods += _pods(company, index, deploys, timeline)
    return timeline


def _calendar(start: int, days: float) -> Calendar:
    """The clock changes on a Sunday in the middle of two weeks or more, and a Wednesday is a holiday."""
    if days < 14:
        return Calendar()
    middle = start // DAY_S + int(days // 2)
    sunday = middle + (6 - (middle + 3) % 7) % 7
    wednesday = middle - 10 + (2 - (middle - 10 + 3) % 7) % 7
    return Calendar(change_at=sunday * DAY_S + 2 * 3600 - ZONE_S, holiday=wednesday * DAY_S)


def _draw_happenings(company: Company, timeline: Timeline, days: float) -> None:
    rng = seeded(company.seed, "happenings")
    span = timeline.end - timeline.start
    at = {name: timeline.start + int(span * share) // 60 * 60 for name, share in SHARES.items()}
    happenings = [Happening("feature_flag", company.apps[-1].name, at["feature_flag"])]
    happenings.append(
        Happening("resized_disk", company.hosts[-1 if len(company.hosts) < 3 else 1].name, at["resized_disk"])
    )
    if company.hosts[-1].role == "worker" and len(company.hosts) > len(HOST_ROLES):
        happenings.append(Happening("decommissioned_host", company.hosts[-1].name, at["decommissioned_host"]))
    if timeline.calendar.change_at is not None:
        happenings.append(Happening("clock_change", "", timeline.calendar.change_at))
    if timeline.calendar.holiday is not None:
        day = timeline.calendar.holiday - ZONE_S
        happenings.append(Happening("holiday", "", day, day + DAY_S))
    for share in rng.uniform(0.1, 0.95, max(1, round(days / 10))):
        first = timeline.start + int(span * share) // 60 * 60
        timeline.gaps.append((first, first + int(rng.integers(2, 8)) * 60))
        happenings.append(Happening("prometheus_restart", "prometheus", *timeline.gaps[-1]))
    timeline.happenings = sorted(happenings, key=lambda one: one.at)


#: When the single happenings occur, as a share of the history.
SHARES = {"feature_flag": 0.55, "resized_disk": 0.62, "decommissioned_host": 0.75}


def _deploys(app: App, seed: int, timeline: Timeline) -> list[Deploy]:
    """Regular deploys on working days, those that begin and end incidents, and no regular one during an incident."""
    rng = seeded(seed, app.name, "deploys")
    own = [one for one in timeline.incidents if one.service == app.name]
    moments: dict[int, bool] = {timeline.start - 2 * DAY_S: False}
    at = timeline.start
    while (at := at + int(rng.exponential(DEPLOY_GAP_DAYS) * DAY_S)) < timeline.until:
        local = at + ZONE_S
        if (local // DAY_S + 3) % 7 < 5:
            moment = local // DAY_S * DAY_S - ZONE_S + int(rng.uniform(9, 17) * 60) * 60
            quiet = all(moment < one.start - 7200 or moment > one.end + 7200 for one in own)
            if quiet and timeline.start + 7200 < moment:
                moments[moment] = bool(rng.random() < 0.5)
    for incident in own:
        if incident.type in ("memory_leak", "slow_release"):
            moments |= {incident.start: False, incident.end: False}
    return [
        Deploy(app.name, moment, f"1.{number}.0", moment - CANARY_S if canary else None)
        for number, (moment, canary) in enumerate(sorted(moments.items()))
    ]


def _pods(company: Company, index: int, deploys: list[Deploy], timeline: Timeline) -> list[Pod]:
    """The pods of one service: each deploy replaces all of them; autoscaling adds some in office hours."""
    app = company.apps[index]
    pods: list[Pod] = []
    rng = seeded(company.seed, app.name, "pods")
    ends = [deploy.at for deploy in deploys[1:]] + [timeline.until]
    for deploy, end in zip(deploys, ends, strict=True):
        replica_set = "".join(rng.choice(list(POD_LETTERS), 10))
        lives = [(deploy.at + ROLL_S * slot, end + ROLL_S * slot) for slot in range(company.size.pods)]
        if deploy.canary_at is not None:
            lives.append((deploy.canary_at, deploy.at))
        if app.is_autoscaled:
            lives += _office_hours(timeline.calendar, deploy.at, end, max(1, company.size.pods // 2))
        for born, died in lives:
            suffix = "".join(rng.choice(list(POD_LETTERS), 5))
            node = company.workers[len(pods) % len(company.workers)].name
            name = f"{app.name}-{replica_set}-{suffix}"
            ip = f"10.42.{index % 250}.{len(pods) % 250 + 2}"
            pods.append(Pod(app.name, name, ip, node, deploy.version, born, died))
    return pods


def _office_hours(calendar: Calendar, start: int, end: int, more: int) -> list[tuple[int, int]]:
    """Lives of the pods that autoscaling adds from 9 to 19 o'clock on working days."""
    lives = []
    for day in range(start // DAY_S, end // DAY_S + 1):
        if (day + 3) % 7 >= 5:
            continue
        noon = day * DAY_S + 12 * 3600
        summer = 3600 if calendar.change_at is not None and noon >= calendar.change_at else 0
        opens, closes = noon - 3 * 3600 - ZONE_S - summer, noon + 7 * 3600 - ZONE_S - summer
        for number in range(more):
            born, died = max(opens + 120 * number, start), min(closes - 120 * number, end)
            if died - born > 600:
                lives.append((born, died))
    return lives


def restarts_of(timeline: Timeline, seed: int, name: str, gap_days: float = RESTART_GAP_DAYS) -> list[int]:
    """When a process or a host restarts, for the whole history."""
    if name not in timeline.restarts:
        rng = seeded(seed, name, "restarts")
        moments, at = [], timeline.start
        while (at := at + int(rng.exponential(gap_days) * DAY_S)) < timeline.until:
            moments.append(at // 60 * 60)
        timeline.restarts[name] = moments
    return timeline.restarts[name]


def started_at(restarts: list[int], born: int, moment: int) -> int:
    """The start of the process that runs at a moment."""
    index = bisect_right(restarts, moment)
    return restarts[index - 1] if index else born
