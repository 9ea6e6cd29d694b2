-- A delivery names its lane. Before, the lane was a suffix of `sink`: none, `/worse` or `/ended`.
ALTER TABLE deliveries DROP CONSTRAINT deliveries_pkey;
DROP INDEX deliveries_due;
ALTER TABLE deliveries
    ADD COLUMN lane text,
    ADD COLUMN enqueued_at timestamptz,
    ADD COLUMN rejections integer NOT NULL DEFAULT 0,
    ADD COLUMN given_up_at timestamptz;
UPDATE deliveries d SET
    sink = regexp_replace(d.sink, '/(worse|ended)$', ''),
    lane = CASE WHEN d.sink LIKE '%/worse' THEN 'escalated' WHEN d.sink LIKE '%/ended' THEN 'ended' ELSE 'new' END,
    enqueued_at = CASE WHEN d.sink LIKE '%/worse' OR d.sink LIKE '%/ended' THEN s.updated_at ELSE s.created_at END
FROM signals s WHERE s.tenant = d.tenant AND s.signal_id = d.signal_id;
ALTER TABLE deliveries
    ALTER COLUMN lane SET NOT NULL,
    ALTER COLUMN enqueued_at SET NOT NULL,
    ALTER COLUMN enqueued_at SET DEFAULT now(),
    ADD CHECK (lane IN ('new', 'escalated', 'ended')),
    ADD PRIMARY KEY (tenant, sink, lane, signal_id);
CREATE INDEX deliveries_due ON deliveries (tenant, sink, lane, retry_at)
    WHERE delivered_at IS NULL AND given_up_at IS NULL;

-- Receivers that fail now; a receiver that works has no row.
CREATE TABLE sink_states (
    tenant         text NOT NULL,
    sink           text NOT NULL,
    failing_since  timestamptz NOT NULL,
    retry_at       timestamptz,
    error          text NOT NULL,
    PRIMARY KEY (tenant, sink)
);
