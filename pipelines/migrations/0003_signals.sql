-- What was found, where it was sent, and what people said of it.
CREATE TABLE signals (
    tenant      text NOT NULL,
    signal_id   text NOT NULL,
    kind        text NOT NULL,
    service     text NOT NULL,
    metric      text,
    started_at  timestamptz NOT NULL,
    ended_at    timestamptz,
    stopped_by  text,
    body        jsonb NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, signal_id)
);
CREATE INDEX signals_by_time ON signals (tenant, started_at DESC);

CREATE TABLE deliveries (
    tenant        text NOT NULL,
    sink          text NOT NULL,
    signal_id     text NOT NULL,
    attempts      integer NOT NULL DEFAULT 0,
    retry_at      timestamptz,
    delivered_at  timestamptz,
    alert_id      text,
    error         text,
    PRIMARY KEY (tenant, sink, signal_id),
    FOREIGN KEY (tenant, signal_id) REFERENCES signals ON DELETE CASCADE
);
CREATE INDEX deliveries_due ON deliveries (tenant, sink, retry_at) WHERE delivered_at IS NULL;

CREATE TABLE feedback (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant      text NOT NULL,
    subject_id  text NOT NULL,
    accepted    boolean NOT NULL,
    at          timestamptz NOT NULL,
    by          text NOT NULL DEFAULT '',
    note        text NOT NULL DEFAULT '',
    UNIQUE (tenant, subject_id, at, by)
);

CREATE TABLE verdicts (
    tenant      text NOT NULL,
    verdict_id  text NOT NULL,
    case_id     text NOT NULL,
    service     text NOT NULL,
    made_at     timestamptz NOT NULL,
    body        jsonb NOT NULL,
    PRIMARY KEY (tenant, verdict_id)
);
CREATE INDEX verdicts_by_time ON verdicts (tenant, made_at DESC);

CREATE TABLE transitions (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant   text NOT NULL,
    case_id  text NOT NULL,
    before   text,
    after    text NOT NULL,
    at       timestamptz NOT NULL,
    by       text NOT NULL,
    reason   text NOT NULL DEFAULT ''
);
CREATE INDEX transitions_by_case ON transitions (tenant, case_id, id);

-- The log is evidence: not even the program itself may rewrite it.
CREATE FUNCTION refuse_rewriting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP;
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON transitions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();

CREATE TABLE api_keys (
    key_id      text PRIMARY KEY,
    tenant      text NOT NULL,
    note        text NOT NULL DEFAULT '',
    digest      bytea NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    revoked_at  timestamptz
);
CREATE INDEX api_keys_by_tenant ON api_keys (tenant);
