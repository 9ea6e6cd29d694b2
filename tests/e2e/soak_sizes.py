"""How long and how large the tests of the service under load are: in CI, and in `make soak`."""

import os

#: Seconds of pushed samples beside clients on `/detect`.
LOAD_S = 60.0
SOAK_LOAD_S = float(os.environ.get("SOAK_LOAD_S", "600"))
#: Samples a minute that the sender offers, and that the service has to store in `make soak`.
LOAD_PER_MINUTE = 1_020_000.0
SOAK_PER_MINUTE = 1_000_000.0
#: Requests of all kinds: until the service is warm, then in CI, then in `make soak`.
WARM_REQUESTS = int(os.environ.get("WARM_REQUESTS", "1500"))
REQUESTS = 1_000
SOAK_REQUESTS = int(os.environ.get("SOAK_REQUESTS", "100000"))
#: Resident memory after the requests, relative to that of the warm service before.
MEMORY_GROWTH = 0.05
#: Generated requests for each route that takes input, valid ones and invalid ones apart: in CI about 60 s in all.
SCHEMA_EXAMPLES = 20
SOAK_SCHEMA_EXAMPLES = int(os.environ.get("SOAK_SCHEMA_EXAMPLES", "5000"))
#: Seconds of a flood in all priority lanes but that of alerts.
FLOOD_S = 6.0
SOAK_FLOOD_S = float(os.environ.get("SOAK_FLOOD_S", "120"))
#: How often the running service is killed while samples are pushed.
SERVICE_KILLS = 1
SOAK_SERVICE_KILLS = 20
