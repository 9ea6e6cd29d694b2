-- The days of a tenant that have a file in the archive. `version` is part of the file's name; files of the versions from
-- `superseded_from` on are to be removed. `rows_left`: so many samples of the day stayed in the database.
-- `removed`: series whose samples in the file are not valid any more.
CREATE TABLE archived_days (
    tenant           text NOT NULL,
    day              date NOT NULL,
    version          integer NOT NULL,
    samples          bigint NOT NULL,
    size_bytes       bigint NOT NULL,
    checksum         text NOT NULL,
    rows_left        bigint NOT NULL,
    removed          bigint[] NOT NULL DEFAULT '{}',
    superseded_from  integer,
    verified_at      timestamptz NOT NULL,
    PRIMARY KEY (tenant, day)
);

-- The days of a tenant that could not be archived; no row: none waits.
CREATE TABLE archive_waits (
    tenant     text PRIMARY KEY,
    since      timestamptz NOT NULL,
    first_day  date NOT NULL,
    last_day   date NOT NULL,
    days       integer NOT NULL,
    error      text NOT NULL
);
