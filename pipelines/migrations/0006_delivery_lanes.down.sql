DROP TABLE sink_states;
ALTER TABLE deliveries DROP CONSTRAINT deliveries_pkey, DROP CONSTRAINT deliveries_lane_check;
DROP INDEX deliveries_due;
UPDATE deliveries SET sink = sink || CASE lane WHEN 'escalated' THEN '/worse' ELSE '/ended' END WHERE lane <> 'new';
ALTER TABLE deliveries
    DROP COLUMN lane,
    DROP COLUMN enqueued_at,
    DROP COLUMN rejections,
    DROP COLUMN given_up_at,
    ADD PRIMARY KEY (tenant, sink, signal_id);
CREATE INDEX deliveries_due ON deliveries (tenant, sink, retry_at) WHERE delivered_at IS NULL;
