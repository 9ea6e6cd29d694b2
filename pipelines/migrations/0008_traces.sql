-- What spans of traces tell, until their step is complete and becomes samples.
-- `bucket` is of the duration, see models/metrics/duration_buckets.py; counts of requests and processes add up.
CREATE TABLE span_counts (
    tenant     text NOT NULL,
    at         timestamptz NOT NULL,
    service    text NOT NULL,
    operation  text NOT NULL,
    bucket     smallint NOT NULL,
    requests   bigint NOT NULL,
    errors     bigint NOT NULL,
    PRIMARY KEY (tenant, at, service, operation, bucket)
);

-- The spans of the last minutes: one that is sent again is not counted again, and a span of another service that has
-- one of them as its parent is a call.
CREATE TABLE recent_spans (
    tenant    text NOT NULL,
    span      bigint NOT NULL,
    is_entry  boolean NOT NULL,
    parent    bigint,
    service   text NOT NULL,
    seen_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant, span, is_entry)
);
CREATE INDEX recent_spans_by_time ON recent_spans (tenant, seen_at);

CREATE TABLE operations (
    tenant     text NOT NULL,
    service    text NOT NULL,
    operation  text NOT NULL,
    seen_at    timestamptz NOT NULL,
    PRIMARY KEY (tenant, service, operation)
);

-- The part of the service graph that was observed.
CREATE TABLE service_edges (
    tenant   text NOT NULL,
    caller   text NOT NULL,
    callee   text NOT NULL,
    seen_at  timestamptz NOT NULL,
    PRIMARY KEY (tenant, caller, callee)
);
