#!/bin/bash
# A database of Prefect's own; its tables it makes itself.
set -euo pipefail
createdb --username "$POSTGRES_USER" prefect
