-- The mean of huge values: avg() of PostgreSQL fails with "value out of range" from about 1e154 on, and one such sample
-- would stop the rollups of all tenants. Values are divided by 2^600 first where a bucket has one of 1e140 or more.
-- First end the jobs of the old views: a job that runs waits for tables that this transaction locks, and the other way
-- round.
CREATE TEMPORARY TABLE rollup_retention ON COMMIT DROP AS
    SELECT c.view_name::text AS name, (j.config->>'drop_after')::interval AS keep
    FROM timescaledb_information.jobs j JOIN timescaledb_information.continuous_aggregates c
    ON j.hypertable_name IN (c.materialization_hypertable_name, c.view_name::text)
    WHERE j.proc_name = 'policy_retention' AND c.view_name IN ('rollups_5m', 'rollups_1h');
SELECT remove_retention_policy(name::regclass) FROM rollup_retention;
SELECT remove_continuous_aggregate_policy('rollups_5m', if_exists => true);
SELECT remove_continuous_aggregate_policy('rollups_1h', if_exists => true);
CREATE MATERIALIZED VIEW rollups_5m_new WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
    SELECT series_id, time_bucket('5 minutes', samples.ts) AS ts, count(*) AS n,
           CASE WHEN max(abs(value)) < 1e140::float8
                THEN avg(value) FILTER (WHERE abs(value) < 1e140::float8)
                ELSE 4.149515568880993e180::float8 * least(greatest(
                    avg(CASE WHEN abs(value) > 1e-100::float8 THEN value * 2.409919865102884e-181::float8 ELSE 0 END),
                    -4.3322963970637727e127::float8), 4.3322963970637727e127::float8)
           END AS mean,
           min(value) AS min, max(value) AS max
    FROM samples GROUP BY series_id, time_bucket('5 minutes', samples.ts)
    WITH NO DATA;
CREATE MATERIALIZED VIEW rollups_1h_new WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
    SELECT series_id, time_bucket('1 hour', samples.ts) AS ts, count(*) AS n,
           CASE WHEN max(abs(value)) < 1e140::float8
                THEN avg(value) FILTER (WHERE abs(value) < 1e140::float8)
                ELSE 4.149515568880993e180::float8 * least(greatest(
                    avg(CASE WHEN abs(value) > 1e-100::float8 THEN value * 2.409919865102884e-181::float8 ELSE 0 END),
                    -4.3322963970637727e127::float8), 4.3322963970637727e127::float8)
           END AS mean,
           min(value) AS min, max(value) AS max
    FROM samples GROUP BY series_id, time_bucket('1 hour', samples.ts)
    WITH NO DATA;
-- The rollups outlive the samples, so their rows are copied; the retention policies move along.
DO $$
DECLARE
    old_name text;
    source regclass;
    target regclass;
    keep interval;
BEGIN
    FOREACH old_name IN ARRAY ARRAY['rollups_5m', 'rollups_1h'] LOOP
        SELECT format('%I.%I', c.materialization_hypertable_schema, c.materialization_hypertable_name)::regclass
            INTO source FROM timescaledb_information.continuous_aggregates c WHERE c.view_name = old_name;
        SELECT format('%I.%I', c.materialization_hypertable_schema, c.materialization_hypertable_name)::regclass
            INTO target FROM timescaledb_information.continuous_aggregates c WHERE c.view_name = old_name || '_new';
        EXECUTE format('INSERT INTO %s (series_id, ts, n, mean, min, max)'
            ' SELECT series_id, ts, n, mean, min, max FROM %s', target, source);
        SELECT r.keep INTO keep FROM rollup_retention r WHERE r.name = old_name;
        EXECUTE format('DROP MATERIALIZED VIEW %I', old_name);
        EXECUTE format('ALTER MATERIALIZED VIEW %I RENAME TO %I', old_name || '_new', old_name);
        IF keep IS NOT NULL THEN
            PERFORM add_retention_policy(old_name::regclass, keep);
        END IF;
    END LOOP;
END $$;
SELECT add_continuous_aggregate_policy('rollups_5m', start_offset => INTERVAL '6 days',
    end_offset => INTERVAL '10 minutes', schedule_interval => INTERVAL '10 minutes');
SELECT add_continuous_aggregate_policy('rollups_1h', start_offset => INTERVAL '6 days',
    end_offset => INTERVAL '2 hours', schedule_interval => INTERVAL '1 hour');
