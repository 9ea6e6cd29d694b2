-- Raw samples that clients push, until golden signals are computed from them. One row holds the samples of one request:
-- they are written with every request, read a few times and removed after an hour.
CREATE TABLE pushed_samples (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant   text NOT NULL,
    first    timestamptz NOT NULL,
    last     timestamptz NOT NULL,
    count    integer NOT NULL,
    samples  bytea NOT NULL
);
CREATE INDEX pushed_samples_by_time ON pushed_samples (tenant, last);
-- They are compressed already.
ALTER TABLE pushed_samples ALTER COLUMN samples SET STORAGE EXTERNAL;

CREATE TABLE pushed_series (
    tenant     text NOT NULL,
    series_id  bigint NOT NULL,
    metric     text NOT NULL,
    labels     text NOT NULL,
    last_seen  timestamptz NOT NULL,
    PRIMARY KEY (tenant, series_id)
);
CREATE INDEX pushed_series_by_metric ON pushed_series (tenant, metric);
