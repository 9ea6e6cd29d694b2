"""What watch cycles print."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from rich.text import Text

from core.domain import ServiceEdges, Severity, Signal
from core.errors import ForewarnError
from core.settings import Settings
from flows.commands.console import err, out

if TYPE_CHECKING:
    from flows.main_job import Reports
    from flows.watch_loop import Cycle, WatchLoop
    from models.causes.incidents import DetectedIncident

_STYLES = {Severity.CRITICAL: "bold red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}
#: So many findings of a cycle are listed at most.
MOST_LINES = 20


def make_loop(
    settings: Settings,
    screen: "Screen",
    *,
    sleep: Callable[[float], object],
    ends: Callable[[], bool] = lambda: False,
    learns: bool = True,
) -> "WatchLoop":
    """The loop of the tenant of the settings; arguments as of `WatchLoop`."""
    from flows.watch_loop import WatchLoop
    from pipelines.common.service_graph import graph_of
    from pipelines.wiring import kept_platform

    tenant = settings.tenant

    def findings(since: datetime) -> tuple[list[Signal], ServiceEdges]:
        with kept_platform(tenant=tenant) as platform:
            graph = graph_of(platform, platform.store.series.find())
            return platform.store.signals.find(since=since, suppressed=False), graph

    def has_model() -> bool:
        with kept_platform(tenant=tenant) as platform:
            return platform.registry.resolve("detector") is not None

    return WatchLoop(
        tenant=tenant,
        findings=findings,
        has_model=has_model,
        listener=screen,
        sleep=sleep,
        ends=ends,
        learns=learns,
    )


class Screen:
    """Prints what the loop does and finds.

    Args:
        tenant: is named in each line; empty: there is only one.
    """

    def __init__(self, tenant: str = "") -> None:
        self._before = f"{tenant} " if tenant else ""
        self._skipped: dict[str, str] = {}
        self._learning = False
        self._steps: set[str] = set()

    def _time(self, at: datetime) -> str:
        return f"{self._before}{at:%H:%M}"

    def progress(self, step: str, done: int, total: int) -> None:
        """Name each step of learning once, when it starts; two run at a time."""
        if self._learning and step not in self._steps:
            self._steps.add(step)
            err.print(f"  {step}")

    def starts(self, name: str) -> None:
        self._learning = True
        self._steps.clear()
        err.print({"nightly": "Learning what is normal:", "weekly": "Training models:"}[name])

    def learned(self, name: str, reports: "Reports") -> None:
        from flows.commands.report_lines import not_done

        self._learning = False
        for line in not_done(reports):
            out.print(f"  {line}", soft_wrap=True)

    def cycle_done(self, cycle: "Cycle") -> None:
        lines = [
            *(self._line(cycle, one, str(one.severity), _STYLES[one.severity]) for one in cycle.began),
            *(self._line(cycle, one, "also", _STYLES[one.severity]) for one in cycle.grown),
            *(self._line(cycle, one, "ended", "green") for one in cycle.ended),
        ]
        for line in lines[:MOST_LINES]:
            out.print(line, soft_wrap=True)
        if len(lines) > MOST_LINES:
            out.print(f"{self._time(cycle.at)} and {len(lines) - MOST_LINES} more; see forewarn signals list")
        for step, reason in cycle.skipped.items():
            if self._skipped.get(step) != reason:
                out.print(
                    f"{self._time(cycle.at)} {step.replace('_', ' ')}: not yet, {reason}", soft_wrap=True
                )
        self._skipped = dict(cycle.skipped)
        if cycle.steps.is_late:
            from models.words.watch_cycle import late_cycle

            err.print(f"{self._time(cycle.at)} {late_cycle(cycle.steps)}", style="yellow", soft_wrap=True)
        pulled = "" if cycle.pulled is None else f"{cycle.pulled:,} new values, "
        plural = "s" if cycle.open > 1 else ""
        found = f"{cycle.open} open incident{plural}" if cycle.open else "nothing found"
        last = f"{cycle.seconds:.0f} s, next cycle at {cycle.next_at:%H:%M} UTC"
        out.print(f"{self._time(cycle.at)} {pulled}{found}; {last}", style="dim")

    def _line(self, cycle: "Cycle", incident: "DetectedIncident", word: str, style: str) -> Text:
        """The incident by its most urgent finding, and how many more it has."""
        from models.causes.incidents import most_urgent
        from models.words.incident import together_with
        from models.words.one_line import describe

        lead = most_urgent(incident.signals)
        others = [one for one in incident.signals if one is not lead]
        together = together_with(lead, others)
        text = describe(lead, cycle.at) + (f", {together}" if together else "")
        return Text.assemble(f"{self._time(cycle.at)} ", (f"{word:<8}", style), f" {text}")

    def cycle_failed(self, at: datetime, error: ForewarnError) -> None:
        self._learning = False
        err.print(Text.assemble(f"{self._time(at)} ", ("error:", "bold red"), f" {error}"), soft_wrap=True)
