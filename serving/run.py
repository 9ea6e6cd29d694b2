"""Runs the service in this process until it gets SIGINT or SIGTERM.

The process runs BentoML's application on uvicorn, as a worker of `bentoml serve` does, but without BentoML's
supervisor: the supervisor restarts a worker that cannot start again and again, and never reports why. For more
processes use `bentoml serve serving.service:Forewarn`, or several containers behind one address.
"""

import ctypes
import gc
import logging
import socket
import sys

from core.errors import ForewarnError, UnavailableError
from core.settings import Settings, read_settings
from pipelines.common.privacy import silence_telemetry
from pipelines.processes.temporary_files import own_temporary_folder

#: At shutdown, running requests have so many seconds to finish.
GRACE_S = 10

#: New objects before a collection of the youngest, and collections of one generation before one of the next. A
#: request for 2,000 values makes some ten thousand objects, which are free again when it is done.
GC_THRESHOLDS = (20_000, 20, 20)

#: The number of the parameter in malloc.h.
M_ARENA_MAX = -8
HEAPS = 2
#: Threads that compute give way to the event loop after this time; Python's 5 ms add up, because the loop gives way
#: several times while it answers one probe.
SWITCH_INTERVAL_S = 0.001

_logger = logging.getLogger("forewarn.serving")


def run(settings: Settings) -> None:
    """Serve in this process until SIGINT or SIGTERM.

    Raises:
        ConfigurationError: a setting is missing or contradicts another.
        UnavailableError: the database does not respond, or the port is in use.
    """
    silence_telemetry()
    own_temporary_folder()
    _use_few_heaps()
    import uvicorn

    from serving.http.protocol import LimitedProtocol
    from serving.service import application, runtime

    _configure_logging()
    _require_free_port(settings)
    # Open it before the server starts, so that a wrong setting ends the process with one sentence.
    runtime.open(settings)
    _relieve_garbage_collection()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        config = uvicorn.Config(
            application(),
            host=settings.serve_host,
            port=settings.serve_port,
            http=LimitedProtocol,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
            # Longer than the idle timeout of most load balancers (60 s): the load balancer closes idle connections
            # first, so it never sends a request on a connection that we are closing.
            timeout_keep_alive=75,
        )
        server = uvicorn.Server(config)
        _logger.info("serving on %s", settings.service_url)
        try:
            server.run()
        except SystemExit:
            # uvicorn exits by itself when it cannot bind or the application does not start.
            raise UnavailableError("the service could not start; its log has the reason") from None
    finally:
        runtime.close()


def main() -> None:
    """The process that `forewarn serve` becomes."""
    try:
        run(read_settings())
    except ForewarnError as error:
        print(f"the service cannot start: {' '.join(str(error).split())}", file=sys.stderr)  # noqa: T201 - the last output of the process
        sys.exit(1)


def _use_few_heaps() -> None:
    """Let all threads share two heaps of the C library (glibc; others have no `mallopt`).

    By default each thread gets its own, and what one thread has freed of a large request stays with that thread.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, HEAPS)


def _relieve_garbage_collection() -> None:
    """Keep the objects that stay (modules, models) out of collections.

    A collection of all of them stops the whole process for 0.1 to 0.3 s, and requests make many objects.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def _require_free_port(settings: Settings) -> None:
    """Raise UnavailableError when the port is in use; otherwise the other service could be mistaken for ours."""
    address = (settings.serve_host, settings.serve_port)
    family = socket.AF_INET6 if ":" in settings.serve_host else socket.AF_INET
    with socket.socket(family) as probe:
        # As in uvicorn: a port that a service closed a moment ago counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise UnavailableError(
                f"cannot listen on {settings.serve_host}:{settings.serve_port}; is the port in use?"
            ) from error


def _configure_logging() -> None:
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stdout
    )
    logging.getLogger("forewarn").setLevel(logging.INFO)


if __name__ == "__main__":
    main()
