"""The steps of the flows in their order, and when each flow runs.

Flows run the steps as Prefect tasks; a replay runs the same ones itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cronsim import CronSim

from core.errors import InsufficientDataError, ModelUnavailableError
from core.watch_cycles import WATCH_EVERY_S
from pipelines.collect.pull import pull
from pipelines.collect.store_logs import summarise_logs
from pipelines.collect.summarise_traces import summarise_traces
from pipelines.common.tenant_platform import Platform
from pipelines.learn import (
    baseline,
    evaluate,
    features,
    promote,
    train_detectors,
    train_failure,
    train_forecasters,
)
from pipelines.operate.retention import apply_retention
from pipelines.watch import (
    compare_replicas,
    deliver,
    detect,
    diagnose,
    forecast,
    predict_failure,
    record_cycle,
)


@dataclass(frozen=True, slots=True)
class Skipped:
    """The report of a step that was skipped, because its data or its model do not exist yet."""

    reason: str


@dataclass(frozen=True, slots=True)
class Step:
    """A function of a pipeline as a step of a flow.

    Attributes:
        name: of its report.
        function: takes the platform, `progress` and its own arguments.
        optional: with too little data, or without a model, the step is skipped instead of failing its flow. In the
            first hours there is too little history for any model, and all other steps work.
    """

    name: str
    function: Callable[..., Any]
    optional: bool = False

    def run(self, platform: Platform, **arguments: Any) -> Any:
        """The report of the function, or `Skipped`."""
        try:
            return self.function(platform, **arguments)
        except (InsufficientDataError, ModelUnavailableError) as error:
            if not self.optional:
                raise
            return Skipped(str(error))


NIGHTLY = (
    Step("features", features.build_features),
    Step("online", features.materialize),
    Step("baselines", baseline.build_baselines),
    Step("expired", apply_retention),
)
#: These may run at the same time. The shortest training starts first: at the end, the two longest ones use a core each.
TRAINING = (
    Step("failure", train_failure.train_failure, optional=True),
    Step("detectors", train_detectors.train_detectors, optional=True),
    Step("forecasters", train_forecasters.train_forecasters, optional=True),
)
AFTER_TRAINING = (
    Step("evaluation", evaluate.evaluate),
    Step("promotion", promote.promote),
)
#: What comes into the database before a watch cycle judges it.
COLLECT = (
    Step("pulled", pull),
    Step("traces", summarise_traces),
    Step("logs", summarise_logs),
)
JUDGE = (
    Step("anomalies", detect.detect, optional=True),
    Step("replicas", compare_replicas.compare_replicas),
    Step("forecasts", forecast.forecast, optional=True),
    Step("failure_risks", predict_failure.predict_failure, optional=True),
    Step("diagnoses", diagnose.diagnose),
    Step("deliveries", deliver.deliver),
)
#: Stores how long the steps of a cycle took.
RECORD_CYCLE = Step("cycle", record_cycle.record_cycle)

#: Cron expressions in UTC.
NIGHTLY_CRON = "17 2 * * *"
WEEKLY_CRON = "43 3 * * 0"
WATCH_CRON = f"*/{WATCH_EVERY_S // 60} * * * *"


def next_time(cron: str, after: datetime) -> datetime:
    """The first time of a schedule after a moment."""
    return next(CronSim(cron, after))
