"""Ten minutes in which receivers misbehave while signals begin, escalate and end, and what must have arrived."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import format_datetime
from enum import IntEnum
from itertools import pairwise

from fakes.platform import platform_of
from fakes.receiver import Receiver, Reply, Request
from fakes.signals import make_signal
from pydantic import SecretStr

from core.alerts import AlertSink
from core.clock import Clock
from core.domain import Severity
from core.ports import SignalSink
from pipelines.common.http_retry import DEFAULT_WAIT_S
from pipelines.common.tenant_platform import Platform
from pipelines.operate.status_of_work import deliveries
from pipelines.operate.status_part import StatusPart
from pipelines.sinks.alertmanager import AlertmanagerSink
from pipelines.sinks.alerts import Links
from pipelines.sinks.pagerduty import PagerDutySink
from pipelines.sinks.slack import SlackSink
from pipelines.sinks.webhook import WebhookSink
from pipelines.stores.store import Store
from pipelines.watch.deliver import deliver

#: Sink -> the path at which its receiver listens.
PATHS = {"webhook": "/hook", "alertmanager": "/api/v2/alerts", "slack": "/slack", "pagerduty": "/pager"}
OUTAGE = timedelta(minutes=10)
PAUSE_S = 120.0


class State(IntEnum):
    """What a message says about a signal, in the order in which messages have to arrive."""

    RAISED = 0
    CRITICAL = 1
    ENDED = 2


R, C, E = State.RAISED, State.CRITICAL, State.ENDED
#: Minute of the outage, signal, its state from then on. What has a negative minute arrives before the outage.
STORY = (
    (-5, "open", R),
    (-5, "escalates", R),
    (-5, "ends", R),
    (1, "escalates", C),
    (2, "ends", E),
    (2, "new", R),
    (3, "short", R),
    (4, "new and escalates", R),
    (6, "short", E),
    (7, "new and escalates", C),
    (9, "late", R),
    (10.5, "after", R),
    (11.5, "late", E),
)
FINAL = {name: state for _, name, state in STORY}


@dataclass(frozen=True, slots=True)
class Fault:
    """How a receiver misbehaves.

    Attributes:
        reply: the reply to a request at this time; null: it refuses connections.
        pause_s: the time without a request that it asks for, in seconds; 0: it asks for none.
        accepts: whether it accepts the message although the sender cannot know.
    """

    reply: Callable[[datetime], Reply] | None
    pause_s: float = 0.0
    accepts: bool = False


def _date(now: datetime, wait_s: float = PAUSE_S) -> str:
    return format_datetime(now + timedelta(seconds=wait_s), usegmt=True)


SECONDS = {"Retry-After": f"{PAUSE_S:.0f}"}
#: A silent receiver hangs for so long; the sender gives up earlier.
HANG_S = 120.0
FAULTS = {
    "429 with seconds": Fault(lambda now: Reply(429, SECONDS, b"slow down"), PAUSE_S),
    # a date in HTTP has whole seconds, so it may come up to a second earlier
    "429 with a date": Fault(
        lambda now: Reply(429, {"Retry-After": _date(now), "Date": _date(now, 0)}), PAUSE_S - 1
    ),
    "429 with a date and no clock": Fault(lambda now: Reply(429, {"Retry-After": _date(now)}), PAUSE_S - 1),
    "429 without a time": Fault(lambda now: Reply(429), DEFAULT_WAIT_S),
    "429 with nonsense": Fault(lambda now: Reply(429, {"Retry-After": "soon"}), DEFAULT_WAIT_S),
    "503 with seconds": Fault(lambda now: Reply(503, SECONDS), PAUSE_S),
    "503 without a time": Fault(lambda now: Reply(503)),
    "500": Fault(lambda now: Reply(500, body=b"<html>oops</html>")),
    "hangs": Fault(lambda now: Reply(hang_s=HANG_S, keep=False)),
    "hangs after it accepted": Fault(lambda now: Reply(hang_s=HANG_S, keep=True), accepts=True),
    "drops": Fault(lambda now: Reply(drop=True, keep=False)),
    "drops after it accepted": Fault(lambda now: Reply(drop=True, keep=True), accepts=True),
    "breaks off its answer": Fault(lambda now: Reply(200, body=b"{", cut=True, keep=True), accepts=True),
    "refuses connections": Fault(None),
}


def states_in(request: Request) -> list[tuple[str, State]]:
    """The signals in a post and what it says about each."""
    content = request.json()
    if request.path == PATHS["pagerduty"]:
        severe = content.get("payload", {}).get("severity") == "critical"
        state = E if content["event_action"] == "resolve" else C if severe else R
        return [(content["dedup_key"], state)]
    if request.path == PATHS["slack"]:
        signs = {":white_check_mark:": E, ":rotating_light:": C, ":warning:": R}
        texts = [block["text"]["text"] for block in content["blocks"][::3]]
        ids = [block["elements"][0]["text"].split("`")[1] for block in content["blocks"][1::3]]
        return [(name, signs[text.split(" ")[0]]) for name, text in zip(ids, texts, strict=True)]
    if request.path == PATHS["webhook"]:
        found = []
        for event in content if isinstance(content, list) else [content]:
            name, _, suffix = event["id"].partition("-")
            found.append((name, {"": R, "critical": C, "ended": E}[suffix]))
        return found
    worst: dict[str, State] = {}
    for alert in content:  # alerts with lower severities end when a signal escalates
        labels, ends = alert["labels"], datetime.fromisoformat(alert["endsAt"])
        over, severe = ends <= request.at, labels["severity"] == "critical"
        name = labels["signal_id"]
        worst[name] = max(worst.get(name, R), R if over else C if severe else R)
        if over and not any(
            one["labels"]["signal_id"] == name and datetime.fromisoformat(one["endsAt"]) > request.at
            for one in content
        ):
            worst[name] = E
    return list(worst.items())


@dataclass
class Outage:
    """A receiver of four sinks that misbehaves for `OUTAGE` from `start` on."""

    store: Store
    receiver: Receiver
    fault: Fault
    clock: Clock
    start: datetime
    outage: timedelta = OUTAGE
    _done: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.receiver.clock = self.clock
        self.receiver.reply_to = self._reply
        links = Links("http://forewarn")
        sinks: tuple[SignalSink | AlertSink, ...] = (
            WebhookSink(self.receiver.url + PATHS["webhook"], None, self.clock),
            AlertmanagerSink(self.receiver.url, links, self.clock),
            SlackSink(SecretStr(self.receiver.url + PATHS["slack"]), links, self.clock),
            PagerDutySink(SecretStr("key"), links, self.clock, url=self.receiver.url + PATHS["pagerduty"]),
        )
        self._platform: Platform = platform_of(self.store, self.clock, sinks=sinks)

    @property
    def lasts(self) -> bool:
        """Whether the receiver misbehaves now."""
        return self.start <= self.clock.now() < self.start + self.outage

    def _reply(self, request: Request) -> Reply:
        return self.fault.reply(request.at) if self.fault.reply and self.lasts else Reply()

    def run(self) -> None:
        """Store what has happened since the last run, and deliver once."""
        if self.fault.reply is None and self.lasts:
            self.receiver.down()
        elif not self.receiver.is_up:
            self.receiver.up()
        minutes = (self.clock.now() - self.start) / self.outage * 10
        while self._done < len(STORY) and STORY[self._done][0] <= minutes:
            self._store(*STORY[self._done])
            self._done += 1
        deliver(self._platform)

    def _store(self, minute: float, name: str, state: State) -> None:
        first = min(began for began, other, _ in STORY if other == name)
        signal = make_signal(
            name,
            service=f"svc {name}",
            tenant=self.store.tenant,
            started_at=self.start + first / 10 * self.outage,
            ended_at=self.start + minute / 10 * self.outage if state is E else None,
            severity=Severity.CRITICAL if state is C else Severity.WARNING,
        )
        self.store.signals.upsert([signal])

    def status(self) -> dict[str, StatusPart]:
        """Sink -> what `forewarn status` shows of it."""
        return {part.name.removeprefix("sink "): part for part in deliveries(self._platform)}

    def check_requests(self) -> None:
        """At most one post per Retry-After, and one failed post of a sink in each run."""
        for path in PATHS.values():
            posts = [post for post in self.receiver.attempts if post.path == path]
            for post, following in pairwise(posts):
                if self.start <= post.at < self.start + self.outage:
                    pause = (following.at - post.at).total_seconds()
                    assert pause >= self.fault.pause_s, (path, post.at, following.at)

    def check_arrivals(self) -> None:
        """Everything arrived once, or again with the same id; nothing after its end, and no end before its start."""
        for sink, path in PATHS.items():
            posts = [post for post in self.receiver.requests if post.path == path]
            found = [pair for post in posts for pair in states_in(post)]
            for name, final in FINAL.items():
                states = [state for other, state in found if other == name]
                assert states == sorted(states), f"{sink} received {name} in a wrong order: {states}"
                assert states[-1:] == [final], (sink, name, states)
                if sink != "alertmanager" and not self.fault.accepts:  # it also gets reminders
                    assert len(states) == len(set(states)), f"{sink} received {name} twice: {states}"
            if sink != "alertmanager":
                _check_order(sink, found)


def _check_order(sink: str, found: Iterable[tuple[str, State]]) -> None:
    """Signals begin in the order in which they began."""
    began: dict[str, float] = {}
    for minute, name, _ in STORY:
        began.setdefault(name, minute)
    minutes = [began[name] for name in dict.fromkeys(name for name, _ in found)]
    assert minutes == sorted(minutes), f"{sink} received {found}"
