-- What the service took in, by priority lane and source, for each five minutes.
CREATE TABLE intake_counts (
    tenant  text NOT NULL,
    at      timestamptz NOT NULL,
    lane    text NOT NULL,
    source  text NOT NULL,
    kind    text NOT NULL CHECK (kind IN ('items', 'errors', 'latency', 'most')),
    name    text NOT NULL,
    count   bigint NOT NULL,
    PRIMARY KEY (tenant, at, lane, source, kind, name)
);
