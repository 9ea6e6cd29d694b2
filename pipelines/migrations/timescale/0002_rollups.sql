-- Continuous aggregates in place of the plain rollup tables. They are filled by Rollups.refresh and by a policy
-- that looks back less than raw samples are kept: a refresh over dropped samples would empty the rollup.
DROP TABLE rollups_5m, rollups_1h;
CREATE MATERIALIZED VIEW rollups_5m WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
    SELECT series_id, time_bucket('5 minutes', samples.ts) AS ts,
           count(*) AS n, avg(value) AS mean, min(value) AS min, max(value) AS max
    FROM samples GROUP BY series_id, time_bucket('5 minutes', samples.ts)
    WITH NO DATA;
CREATE MATERIALIZED VIEW rollups_1h WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
    SELECT series_id, time_bucket('1 hour', samples.ts) AS ts,
           count(*) AS n, avg(value) AS mean, min(value) AS min, max(value) AS max
    FROM samples GROUP BY series_id, time_bucket('1 hour', samples.ts)
    WITH NO DATA;
SELECT add_continuous_aggregate_policy('rollups_5m', start_offset => INTERVAL '6 days',
    end_offset => INTERVAL '10 minutes', schedule_interval => INTERVAL '10 minutes');
SELECT add_continuous_aggregate_policy('rollups_1h', start_offset => INTERVAL '6 days',
    end_offset => INTERVAL '2 hours', schedule_interval => INTERVAL '1 hour');
