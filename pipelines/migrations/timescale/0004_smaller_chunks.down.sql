SELECT set_chunk_time_interval('samples', INTERVAL '7 days');
ALTER TABLE samples SET (timescaledb.compress_chunk_time_interval = '0');
SELECT remove_compression_policy('samples', if_exists => true);
SELECT add_compression_policy('samples', INTERVAL '7 days');
