"""`forewarn flows cycles`: one process for several tenants, which may be killed and goes on as if it had not been."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from servers.commands import Forewarn, forewarn_in

TENANTS = ("acme", "umbrella")
ARGUMENTS = ("flows", "cycles", "--tenant", "acme", "--tenant", "umbrella")


def wait_for(is_so: Callable[[], bool], log: Path, seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.5)


def cycled(log: Path, tenant: str) -> int:
    """How many cycles of a tenant have ended."""
    lines = log.read_text().splitlines()
    return sum(tenant in line and "next cycle at" in line for line in lines)


def test_each_tenant_has_its_cycle_and_a_killed_process_is_made_up_for(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with forewarn_in(tmp_path) as command:
        first = command.start_logged(log, *ARGUMENTS)
        wait_for(lambda: all(cycled(log, one) for one in TENANTS), log)
        first.kill()
        first.wait(60)
        again = command.start_logged(log, *ARGUMENTS)
        wait_for(lambda: all(cycled(log, one) for one in TENANTS), log)
        again.send_signal(signal.SIGTERM)
        assert again.wait(60) == 0, log.read_text()
        assert "Traceback" not in log.read_text()
        # One cycle only: the command ends by itself.
        assert command.run(*ARGUMENTS, "--cycles", "1").count("next cycle at") == len(TENANTS)


@pytest.mark.slow
@pytest.mark.timeout(900)  # a cycle begins every five minutes
def test_a_process_that_needs_too_much_memory_starts_anew_and_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with forewarn_in(tmp_path) as made:
        command = Forewarn(made.home, {**made.settings, "FOREWARN_WORKER_MEMORY_MB": "100"})
        process = command.start_logged(log, *ARGUMENTS)
        try:
            wait_for(lambda: "starts anew: it needs more than 100 MiB" in log.read_text(), log, 400)
            before = cycled(log, "acme")
            wait_for(lambda: cycled(log, "acme") > before, log)
            assert process.poll() is None
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0, log.read_text()
