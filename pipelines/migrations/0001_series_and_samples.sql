-- What is measured. `series_id` is the hash that core.domain.Series computes, so it already tells tenants apart.
CREATE TABLE series (
    series_id      bigint PRIMARY KEY,
    tenant         text NOT NULL,
    service        text NOT NULL,
    metric         text NOT NULL,
    labels         jsonb NOT NULL DEFAULT '{}',
    unit           text NOT NULL DEFAULT '',
    kind           text NOT NULL,
    role           text NOT NULL,
    limit_value    double precision,
    slo_threshold  double precision,
    step_s         integer NOT NULL CHECK (step_s > 0),
    first_seen     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX series_by_name ON series (tenant, service, metric);

-- No foreign key: checking one for each row would cost more than writing it; the store checks once a batch.
-- A missing value is a missing row, so that every row has one width and can be read as an array.
CREATE TABLE samples (
    series_id  bigint NOT NULL,
    ts         timestamptz NOT NULL,
    value      double precision NOT NULL,
    PRIMARY KEY (series_id, ts)
);

CREATE TABLE rollups_5m (
    series_id  bigint NOT NULL,
    ts         timestamptz NOT NULL,
    n          bigint NOT NULL,
    mean       double precision NOT NULL,
    min        double precision NOT NULL,
    max        double precision NOT NULL,
    PRIMARY KEY (series_id, ts)
);
CREATE TABLE rollups_1h (LIKE rollups_5m INCLUDING ALL);

CREATE TABLE events (
    tenant    text NOT NULL,
    event_id  text NOT NULL,
    service   text NOT NULL,
    kind      text NOT NULL,
    at        timestamptz NOT NULL,
    until     timestamptz,
    title     text NOT NULL DEFAULT '',
    version   text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant, event_id)
);
CREATE INDEX events_by_time ON events (tenant, at);

CREATE TABLE incidents (
    tenant       text NOT NULL,
    incident_id  text NOT NULL,
    service      text NOT NULL,
    type         text NOT NULL,
    severity     text NOT NULL,
    start_at     timestamptz NOT NULL,
    end_at       timestamptz,
    PRIMARY KEY (tenant, incident_id)
);
CREATE INDEX incidents_by_time ON incidents (tenant, start_at);

-- Inputs that were refused, each once: `digest` is the hash of source, row and reason.
CREATE TABLE dead_letters (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant   text NOT NULL,
    source   text NOT NULL,
    row      text NOT NULL,
    reason   text NOT NULL,
    digest   text NOT NULL,
    seen_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant, digest)
);

CREATE TABLE cursors (
    tenant      text NOT NULL,
    source      text NOT NULL,
    cursor      text NOT NULL,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, source)
);
