ALTER INDEX transitions_by_incident RENAME TO transitions_by_case;
ALTER TABLE transitions RENAME COLUMN incident_id TO case_id;

UPDATE diagnoses SET body = (body - 'incident_id' - 'diagnosis')
    || jsonb_build_object('case_id', body -> 'incident_id', 'judgement', body -> 'diagnosis');
ALTER INDEX diagnoses_by_time RENAME TO verdicts_by_time;
ALTER TABLE diagnoses RENAME COLUMN incident_id TO case_id;
ALTER TABLE diagnoses RENAME COLUMN diagnosis_id TO verdict_id;
ALTER TABLE diagnoses RENAME TO verdicts;

ALTER TABLE feedback ADD COLUMN accepted boolean;
UPDATE feedback SET accepted = value IN ('true_positive', 'accepted');
ALTER TABLE feedback ALTER COLUMN accepted SET NOT NULL, ALTER COLUMN by SET DEFAULT '', DROP COLUMN value;

UPDATE signals SET body = (body - 'filters') || jsonb_build_object('gates', (
    SELECT coalesce(jsonb_agg((filter - 'name') || jsonb_build_object('gate', filter -> 'name') ORDER BY at), '[]')
    FROM jsonb_array_elements(body -> 'filters') WITH ORDINALITY AS filters (filter, at)
)) WHERE body ? 'filters';
ALTER TABLE signals RENAME COLUMN suppressed_by TO stopped_by;
