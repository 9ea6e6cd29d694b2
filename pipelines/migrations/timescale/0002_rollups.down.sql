DROP MATERIALIZED VIEW rollups_5m;
DROP MATERIALIZED VIEW rollups_1h;
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
