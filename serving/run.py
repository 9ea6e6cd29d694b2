"""The service in this process, until it is told to stop.

One process serves with BentoML's own application on uvicorn, exactly what a worker of `bentoml serve` runs,
but without the supervisor, which starts a worker that cannot start over and over and never says why. For more
processes: `bentoml serve serving.service:Forewarn`, or more containers behind one address.
"""

import logging
import socket
import sys

from core.errors import ForewarnError, UnavailableError
from core.settings import Settings, read_settings
from pipelines.common.privacy import silence_telemetry

#: Requests under way may finish for this long.
GRACE_S = 10

_logger = logging.getLogger("forewarn.serving")


def run(settings: Settings) -> None:
    """Serve in this process until SIGINT or SIGTERM.

    Raises:
        ConfigurationError: a setting is missing or contradicts another.
        UnavailableError: the database does not answer, or the port is taken.
    """
    silence_telemetry()
    import uvicorn

    from serving.service import application, runtime

    _configure_logging()
    _require_free_port(settings)
    # Before the server: what cannot be opened ends the process here, with one sentence.
    runtime.open(settings)
    try:
        config = uvicorn.Config(
            application(),
            host=settings.serve_host,
            port=settings.serve_port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
            # No listener may be slower to hang up than the load balancer in front of it (60 s on most).
            timeout_keep_alive=75,
        )
        server = uvicorn.Server(config)
        _logger.info("serving on %s", settings.service_url)
        try:
            server.run()
        except SystemExit:
            # uvicorn exits by itself when it cannot bind or the application does not start.
            raise UnavailableError("the service could not start; its log says why") from None
    finally:
        runtime.close()


def main() -> None:
    """The process that `forewarn serve` becomes."""
    try:
        run(read_settings())
    except ForewarnError as error:
        print(f"the service cannot start: {' '.join(str(error).split())}", file=sys.stderr)  # noqa: T201 - the process's last words
        sys.exit(1)


def _require_free_port(settings: Settings) -> None:
    """Another service on our port would answer in our place, and look as if we had started."""
    address = (settings.serve_host, settings.serve_port)
    family = socket.AF_INET6 if ":" in settings.serve_host else socket.AF_INET
    with socket.socket(family) as probe:
        # As uvicorn does: a port that a service left a moment ago is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise UnavailableError(
                f"cannot listen on {settings.serve_host}:{settings.serve_port}; is the port taken?"
            ) from error


def _configure_logging() -> None:
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stdout
    )
    logging.getLogger("forewarn").setLevel(logging.INFO)


if __name__ == "__main__":
    main()
