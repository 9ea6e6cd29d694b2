"""The demo: simulates a fleet, runs the main job on it and starts the HTTP service.

The demo keeps its state in its own folders (`<data>/demo`, `<mlruns>/demo`) and clears them at each start. It never
changes the user's data.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx

from core.clock import FixedClock
from core.diagnosis import Diagnosis
from core.domain import Signal, SignalKind
from core.errors import UnavailableError
from core.settings import Settings, read_settings
from flows.prefect_server import USER, password_file, start_prefect
from flows.service_process import SERVICE_READY, launch_service
from pipelines.common.progress import Progress, silent
from pipelines.operate.keys import create_key
from pipelines.processes.prefect_app import READY
from pipelines.processes.server_process import ServerProcess, free_port, start_server
from pipelines.stores.ready import down

TENANT = "demo"
SERVICES = 20
DAYS = 45


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResult:
    """What the demo shows.

    Attributes:
        samples: number of samples.
        services: number of services.
        alerts: open signals of predicted breaches and failures, without suppressed ones, the most urgent first.
        anomalies: open anomalies, without suppressed ones.
        diagnosis: of the incident with the surest hypothesis; null without an open incident.
        addresses: name of a server -> its URL.
        key: API key of the demo's tenant.
        prefect_login: user and password of Prefect's pages.
    """

    now: datetime
    samples: int
    services: int
    alerts: tuple[Signal, ...]
    anomalies: tuple[Signal, ...]
    diagnosis: Diagnosis | None
    addresses: dict[str, str]
    key: str
    prefect_login: str


def demo_settings() -> Settings:
    """The user's settings with the demo's own folders, tenant and a free port.

    They are also written to the environment, because the flows build their settings from it.
    """
    base = read_settings()
    changes = {
        "FOREWARN_TENANT": TENANT,
        "FOREWARN_DATA_DIR": str(base.data_dir / "demo"),
        "FOREWARN_MLRUNS_DIR": str(base.mlruns_dir / "demo"),
        "FOREWARN_SERVE_PORT": str(free_port(base.serve_port)),
    }
    os.environ.update(changes)
    return read_settings()


def clear(settings: Settings) -> None:
    """Stop the database of an earlier demo and empty its folders. A database that the user configured stays."""
    if settings.database_url is None:
        down(settings)
    for folder in (settings.data_dir, settings.mlruns_dir):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)


@contextmanager
def running_demo(settings: Settings, progress: Progress = silent) -> Iterator[DemoResult]:
    """Run the whole demo, and keep all servers running until the block ends."""
    clear(settings)
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    with ExitStack() as servers:
        if settings.database_url is None:
            servers.callback(down, settings)
        prefect, mlflow = _start_consoles(settings, servers)
        samples = _simulate(settings, now, progress)
        prefect.wait_until_ready(READY)
        # The service imports its libraries while the models are trained. It loads the models on the first request.
        service = servers.enter_context(launch_service(settings))
        diagnoses = _main_job(now, progress)
        progress("start the service", 0, 1)
        service.wait_until_ready(SERVICE_READY)
        mlflow.wait_until_ready("/health")
        progress("start the service", 1, 1)
        alerts, anomalies = _open_signals(settings, now)
        yield DemoResult(
            now=now,
            samples=samples,
            services=SERVICES,
            alerts=alerts,
            anomalies=anomalies,
            diagnosis=diagnoses[0] if diagnoses else None,
            addresses={
                "service": service.url,
                "API docs": f"{service.url}/docs",
                "MLflow": mlflow.url,
                "Prefect": prefect.url,
            },
            key=create_key(settings, "demo"),
            prefect_login=f"{USER}:{password_file(settings).read_text().strip()}",
        )


def _start_consoles(settings: Settings, servers: ExitStack) -> tuple[ServerProcess, ServerProcess]:
    """Start the servers of Prefect and MLflow. They start first, because they start up while the fleet is simulated."""
    prefect, mlflow_port = start_prefect(settings), free_port(5000)
    servers.enter_context(prefect)
    mlflow_url = f"http://127.0.0.1:{mlflow_port}"
    mlflow = start_server(
        "MLflow",
        mlflow_command(mlflow_port, (settings.mlruns_dir / "mlflow.db").resolve()),
        url=mlflow_url,
        log=settings.data_dir / "logs" / "mlflow.log",
        data_dir=settings.data_dir,
    )
    servers.enter_context(mlflow)
    return prefect, mlflow


def mlflow_command(port: int, database: Path) -> list[str]:
    """The command of an MLflow server on the loopback address that refuses web pages of other origins and hosts."""
    hosts = [f"{name}:{port}" for name in ("127.0.0.1", "localhost")]
    return [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
        *("--backend-store-uri", f"sqlite:///{database}", "--workers", "1"),
        *("--allowed-hosts", ",".join(hosts)),
        *("--cors-allowed-origins", ",".join(f"http://{host}" for host in hosts)),
    ]


def _simulate(settings: Settings, now: datetime, progress: Progress) -> int:
    from pipelines.collect.ingest import ingest
    from pipelines.sources.simulated import SimulatedFleet
    from pipelines.wiring import open_platform

    fleet = SimulatedFleet(SERVICES, DAYS, seed=settings.seed, end=now, tenant=TENANT)
    with open_platform(settings, clock=FixedClock(now)) as platform:
        return ingest(platform, fleet, progress=progress).inserted


def _main_job(now: datetime, progress: Progress) -> tuple[Diagnosis, ...]:
    from flows.main_job import main_job
    from flows.progress_listener import progress_to

    with progress_to(progress):
        reports = main_job(tenant=TENANT, at=now)
    diagnoses: tuple[Diagnosis, ...] = reports["diagnoses"].diagnoses
    return diagnoses


def _open_signals(settings: Settings, now: datetime) -> tuple[tuple[Signal, ...], tuple[Signal, ...]]:
    from pipelines.wiring import open_platform

    with open_platform(settings, clock=FixedClock(now)) as platform:
        found = platform.store.signals.find(suppressed=False)
    still_open = [signal for signal in found if signal.ended_at is None]
    predictive = [s for s in still_open if s.kind in (SignalKind.BREACH, SignalKind.FAILURE_RISK)]
    return (
        tuple(sorted(predictive, key=_urgency)),
        tuple(signal for signal in still_open if signal.kind is SignalKind.ANOMALY),
    )


def _urgency(signal: Signal) -> tuple[bool, datetime]:
    when = (signal.breach and signal.breach.when) or (signal.risk and signal.risk.when)
    return (not when, when.p50 if when else signal.started_at)


def check_service(result: DemoResult) -> None:
    """Send requests to the running service, as a client does.

    Raises:
        UnavailableError: the service does not respond, or responds with an unexpected status.
    """
    url = result.addresses["service"]
    headers = {"Authorization": f"Bearer {result.key}"}
    with httpx.Client(base_url=url, headers=headers, timeout=30) as client:
        for path in ("/livez", "/readyz", "/signals"):
            response = client.get(path)
            if response.status_code != httpx.codes.OK:
                raise UnavailableError(
                    f"the service responded to {path} with {response.status_code}: {response.text[:200]}"
                )
        refused = client.get("/signals", headers={"Authorization": "Bearer wrong"})
        if refused.status_code != httpx.codes.UNAUTHORIZED:
            raise UnavailableError(f"the service accepted a wrong API key (status {refused.status_code})")
