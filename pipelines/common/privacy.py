"""Nothing about a user leaves the machine: the telemetry of every library is off before it is imported."""

import os

#: Each library's own switch, by its documentation.
SWITCHES = {
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "BENTOML_DO_NOT_TRACK": "True",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def silence_telemetry() -> None:
    """Set every switch, for this process and the ones that it starts."""
    os.environ.update(SWITCHES)
