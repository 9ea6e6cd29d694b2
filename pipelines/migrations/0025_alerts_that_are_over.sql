-- Whether people were told that the alert which the signal of this delivery began is over. The end of an alert is told
-- once, and a signal that joins it later tells people again.
ALTER TABLE deliveries ADD COLUMN is_over boolean NOT NULL DEFAULT false;
UPDATE deliveries d SET is_over = true
    WHERE d.lane = 'new' AND d.alert_id = d.signal_id AND d.delivered_at IS NOT NULL
    AND NOT EXISTS (SELECT FROM deliveries o JOIN signals s USING (tenant, signal_id)
        WHERE o.tenant = d.tenant AND o.sink = d.sink AND o.lane = 'new' AND o.alert_id = d.alert_id
        AND s.ended_at IS NULL);
