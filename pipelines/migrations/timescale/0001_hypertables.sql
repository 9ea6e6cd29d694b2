-- The same tables and columns, cut into chunks of a week and compressed once they are a week old.
SELECT create_hypertable('samples', 'ts', chunk_time_interval => INTERVAL '7 days', migrate_data => true);
ALTER TABLE samples SET (
    timescaledb.compress,
    timescaledb.compress_segmentby = 'series_id',
    timescaledb.compress_orderby = 'ts'
);
SELECT add_compression_policy('samples', INTERVAL '7 days');
SELECT create_hypertable(
    'service_features', 'ts', chunk_time_interval => INTERVAL '30 days', migrate_data => true
);
