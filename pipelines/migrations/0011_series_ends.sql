-- The times at which senders ended series (stale markers of Prometheus). What is missing after such a time, until the
-- series returns, is no silence.
CREATE TABLE series_ends (
    tenant     text NOT NULL,
    series_id  bigint NOT NULL,
    ended_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant, series_id, ended_at)
);

-- The newest native histograms of each series, as they were sent. Quantiles are those of the values that were counted
-- between two of them. The series is that of the number of values.
CREATE TABLE native_histograms (
    tenant     text NOT NULL,
    series_id  bigint NOT NULL,
    ts         timestamptz NOT NULL,
    content    bytea NOT NULL,
    PRIMARY KEY (tenant, series_id, ts)
);
