-- How many lines each service logged, until their step is complete and becomes samples.
CREATE TABLE log_counts (
    tenant   text NOT NULL,
    at       timestamptz NOT NULL,
    service  text NOT NULL,
    level    text NOT NULL,
    lines    bigint NOT NULL,
    PRIMARY KEY (tenant, at, service, level)
);

-- The requests of the last minutes: lines have no ids, but a request that is sent again has the same bytes.
CREATE TABLE recent_log_requests (
    tenant   text NOT NULL,
    digest   bigint NOT NULL,
    seen_at  timestamptz NOT NULL,
    PRIMARY KEY (tenant, digest)
);

CREATE TABLE log_levels (
    tenant   text NOT NULL,
    service  text NOT NULL,
    level    text NOT NULL,
    seen_at  timestamptz NOT NULL,
    PRIMARY KEY (tenant, service, level)
);
