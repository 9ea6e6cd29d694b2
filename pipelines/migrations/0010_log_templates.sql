-- Lines are counted by template, too. Those that were counted before are of no template that is known.
ALTER TABLE log_counts ADD COLUMN template text NOT NULL DEFAULT 'other';
ALTER TABLE log_counts ALTER COLUMN template DROP DEFAULT;
ALTER TABLE log_counts DROP CONSTRAINT log_counts_pkey;
ALTER TABLE log_counts ADD PRIMARY KEY (tenant, at, service, level, template);

-- The kinds of lines of each service, without secrets. `name` is the first form, `pattern` what all forms have in common.
CREATE TABLE log_templates (
    tenant      text NOT NULL,
    service     text NOT NULL,
    name        text NOT NULL,
    pattern     text NOT NULL,
    level       text NOT NULL,
    example     text NOT NULL,
    first_seen  timestamptz NOT NULL,
    seen_at     timestamptz NOT NULL,
    PRIMARY KEY (tenant, service, name)
);
