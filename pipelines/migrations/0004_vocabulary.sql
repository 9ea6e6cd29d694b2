-- One word for one thing: filters suppress signals, the scorer returns diagnoses of incidents, people give feedback.
ALTER TABLE signals RENAME COLUMN stopped_by TO suppressed_by;
UPDATE signals SET body = (body - 'gates') || jsonb_build_object('filters', (
    SELECT coalesce(jsonb_agg((gate - 'gate') || jsonb_build_object('name', gate -> 'gate') ORDER BY at), '[]')
    FROM jsonb_array_elements(body -> 'gates') WITH ORDINALITY AS gates (gate, at)
)) WHERE body ? 'gates';

ALTER TABLE feedback ADD COLUMN value text;
UPDATE feedback f SET value = CASE
    WHEN EXISTS (SELECT FROM signals s WHERE s.tenant = f.tenant AND s.signal_id = f.subject_id)
    THEN CASE WHEN accepted THEN 'true_positive' ELSE 'false_positive' END
    ELSE CASE WHEN accepted THEN 'accepted' ELSE 'rejected' END
END;
UPDATE feedback SET by = 'unknown' WHERE by = '';
ALTER TABLE feedback ALTER COLUMN value SET NOT NULL, ALTER COLUMN by DROP DEFAULT, DROP COLUMN accepted;

ALTER TABLE verdicts RENAME TO diagnoses;
ALTER TABLE diagnoses RENAME COLUMN verdict_id TO diagnosis_id;
ALTER TABLE diagnoses RENAME COLUMN case_id TO incident_id;
ALTER INDEX verdicts_by_time RENAME TO diagnoses_by_time;
UPDATE diagnoses SET body = (body - 'case_id' - 'judgement')
    || jsonb_build_object('incident_id', body -> 'case_id', 'diagnosis', body -> 'judgement');

-- The log refuses to be rewritten; renaming a column changes no row of it.
ALTER TABLE transitions RENAME COLUMN case_id TO incident_id;
ALTER INDEX transitions_by_case RENAME TO transitions_by_incident;
