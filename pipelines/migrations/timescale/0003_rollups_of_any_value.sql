-- The mean of huge values: avg() of PostgreSQL fails with "value out of range" from about 1e154 on, and one such sample
-- would stop the rollups of all tenants. Values are divided by 2^600 first where a bucket has one of 1e140 or more.
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
    name text;
    source regclass;
    target regclass;
    keep interval;
BEGIN
    FOREACH name IN ARRAY ARRAY['rollups_5m', 'rollups_1h'] LOOP
        SELECT format('%I.%I', c.materialization_hypertable_schema, c.materialization_hypertable_name)::regclass
            INTO source FROM timescaledb_information.continuous_aggregates c WHERE c.view_name = name;
        SELECT format('%I.%I', c.materialization_hypertable_schema, c.materialization_hypertable_name)::regclass
            INTO target FROM timescaledb_information.continuous_aggregates c WHERE c.view_name = name || '_new';
        EXECUTE format('INSERT INTO %s (series_id, ts, n, mean, min, max)'
            ' SELECT series_id, ts, n, mean, min, max FROM %s', target, source);
        SELECT (j.config->>'drop_after')::interval INTO keep
            FROM timescaledb_information.jobs j JOIN timescaledb_information.continuous_aggregates c
            ON j.hypertable_name IN (c.materialization_hypertable_name, c.view_name::text)
            WHERE j.proc_name = 'policy_retention' AND c.view_name = name;
        EXECUTE format('DROP MATERIALIZED VIEW %I', name);
        EXECUTE format('ALTER MATERIALIZED VIEW %I RENAME TO %I', name || '_new', name);
        IF keep IS NOT NULL THEN
            PERFORM add_retention_policy(name::regclass, keep);
        END IF;
    END LOOP;
END $$;
SELECT add_continuous_aggregate_policy('rollups_5m', start_offset => INTERVAL '6 days',
    end_offset => INTERVAL '10 minutes', schedule_interval => INTERVAL '10 minutes');
SELECT add_continuous_aggregate_policy('rollups_1h', start_offset => INTERVAL '6 days',
    end_offset => INTERVAL '2 hours', schedule_interval => INTERVAL '1 hour');
