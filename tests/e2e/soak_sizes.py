"""How long and how large the tests of the service under load are: in CI, and in `make soak`."""

import os

#: Seconds of pushed samples beside clients on `/detect`.
LOAD_S = float(os.environ.get("LOAD_S", "60"))
SOAK_LOAD_S = float(os.environ.get("SOAK_LOAD_S", "600"))
#: Samples a minute that the sender offers.
LOAD_PER_MINUTE = 1_000_000.0
#: Requests of all kinds.
SOAK_REQUESTS = int(os.environ.get("SOAK_REQUESTS", "100000"))
#: Resident memory after the requests, relative to that of the warm service before.
MEMORY_GROWTH = 0.05
