-- One row for each transaction that changed samples, so that a process that keeps samples in memory reads only what is
-- new. `xid` tells what a snapshot did not see yet: unlike times and identities, it is known before the commit.
CREATE TABLE sample_writes (
    tenant   text NOT NULL,
    xid      xid8 NOT NULL DEFAULT pg_current_xact_id(),
    oldest   timestamptz NOT NULL,
    made_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX sample_writes_by_transaction ON sample_writes (tenant, xid);
