"""What a fleet needs: core seconds of a watch cycle, memory, training and disk, and what that costs a month.

    python tests/cost_model.py 100000        so many series, a sample a minute each

What a series needs was measured on two cores by `bench_watch.py`, `bench_training.py` and `bench_timescale.py`.
`docs/scale.md` compares it with the figures of fleets of several sizes.
"""

import sys
from dataclasses import dataclass

#: Core seconds of a watch cycle: fixed, and for each series.
CYCLE_S, CYCLE_S_PER_SERIES = 0.45, 0.0052
#: Core seconds that the cycle takes longer that completes an hour.
HOURLY_S_PER_SERIES = 0.0040
#: MiB of the process with the cycles, which has workers; and of a worker, which has all models.
PROCESS_MIB, PROCESS_MIB_PER_SERIES = 541.0, 0.0089
WORKER_MIB, WORKER_MIB_PER_SERIES = 609.0, 0.1008
#: Core seconds of weekly training; the failure model learns from some hundred services at most.
DETECTORS_S_PER_SERIES, FORECASTERS_S_PER_SERIES, FAILURE_S = 0.071, 0.078, 700.0
#: Bytes of a raw sample on TimescaleDB, on average over 30 days, of noisy floats at one a minute.
BYTES_PER_SAMPLE = 9.4
#: Bytes of rollups and features for each series and day, which are kept longer; computed, not measured.
BYTES_PER_SERIES_DAY = 48_000.0
#: Samples a minute that one core takes in.
SAMPLES_PER_CORE_MIN = 500_000.0
#: A core is used to this share, so that a late cycle catches up.
USED = 0.5
INTERVAL_S = 300.0
WEEK_H = 168.0
#: Dollars a month for a core with 4 GiB, and for a GiB of disk: a usual price of large providers.
CORE_PRICE, GIB_PRICE = 35.0, 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a fleet needs.

    Attributes:
        cycle_s: core seconds of a watch cycle; hourly_s: of the cycle that completes an hour.
        training_s: core seconds of the weekly training.
        process_mib: of the process with the cycles; worker_mib: of each of its workers.
        cores: for cycles, training and intake together, used to `USED`.
        disk_gib: of the database.
    """

    cycle_s: float
    hourly_s: float
    training_s: float
    process_mib: float
    worker_mib: float
    cores: float
    disk_gib: float

    @property
    def dollars(self) -> float:
        """A month of machines and disks; traffic, backups and people are not in it."""
        return self.cores * CORE_PRICE + self.disk_gib * GIB_PRICE


def needs(series: int, *, raw_days: int = 30) -> Needs:
    """What so many series need, eight of a service, with a sample a minute each.

    Args:
        raw_days: how long raw samples are kept; rollups are kept a year.
    """
    cycle = CYCLE_S + CYCLE_S_PER_SERIES * series
    hourly = cycle + HOURLY_S_PER_SERIES * series
    training = (DETECTORS_S_PER_SERIES + FORECASTERS_S_PER_SERIES) * series + FAILURE_S
    # Eleven usual cycles and a long one in each hour.
    cycles = (11 * cycle + hourly) / (12 * INTERVAL_S)
    busy = cycles + training / (WEEK_H * 3_600) + series / SAMPLES_PER_CORE_MIN
    raw = series * 1_440 * raw_days * BYTES_PER_SAMPLE
    return Needs(
        cycle_s=cycle,
        hourly_s=hourly,
        training_s=training,
        process_mib=PROCESS_MIB + PROCESS_MIB_PER_SERIES * series,
        worker_mib=WORKER_MIB + WORKER_MIB_PER_SERIES * series,
        cores=busy / USED,
        disk_gib=(raw + series * 365 * BYTES_PER_SERIES_DAY) / 2**30,
    )


def main(series: int) -> None:
    found = needs(series)
    print("| what | figure |")
    print("|---|---:|")
    print(f"| core seconds of a watch cycle | {found.cycle_s:,.1f} |")
    print(f"| the same, when an hour is complete | {found.hourly_s:,.1f} |")
    print(f"| core hours of weekly training | {found.training_s / 3_600:,.1f} |")
    print(f"| MiB of the process with the cycles | {found.process_mib:,.0f} |")
    print(f"| MiB of each of its workers | {found.worker_mib:,.0f} |")
    print(f"| cores | {found.cores:,.1f} |")
    print(f"| GiB of the database | {found.disk_gib:,.0f} |")
    print(f"| dollars a month | {found.dollars:,.0f} |")


if __name__ == "__main__":
    main(int(sys.argv[1]))
