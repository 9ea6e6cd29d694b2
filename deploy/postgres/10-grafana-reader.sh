#!/bin/bash
# A role for Grafana that can read and nothing else; the tables come later, by migration.
set -euo pipefail
psql --variable ON_ERROR_STOP=1 --variable password="$GRAFANA_READER_PASSWORD" \
    --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
CREATE ROLE grafana_reader LOGIN PASSWORD :'password';
ALTER ROLE grafana_reader SET default_transaction_read_only = on;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO grafana_reader;
SQL
