-- Whether a source can be read, since when not, and what its last reading left out.
CREATE TABLE source_states (
    tenant         text NOT NULL,
    source         text NOT NULL,
    failing_since  timestamptz,
    error          text NOT NULL DEFAULT '',
    notes          text[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (tenant, source)
);
