"""Switch off the telemetry of every library before it is imported: no data about users leave the machine."""

import os

#: The switches that the libraries document.
SWITCHES = {
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "BENTOML_DO_NOT_TRACK": "True",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def silence_telemetry() -> None:
    """Set every switch, for this process and for the processes that it starts."""
    os.environ.update(SWITCHES)
