-- Samples waited one to two weeks for their compression, and were ten times as large until then. docs/decisions/chunks.md
-- has the reasons. Existing chunks stay as they are; that of the current week is compressed when it ends.
SELECT set_chunk_time_interval('samples', INTERVAL '12 hours');
-- A chunk that is compressed joins the one before it, up to a week.
ALTER TABLE samples SET (timescaledb.compress_chunk_time_interval = '7 days');
SELECT remove_compression_policy('samples', if_exists => true);
SELECT add_compression_policy('samples', INTERVAL '1 hour', schedule_interval => INTERVAL '1 hour');
