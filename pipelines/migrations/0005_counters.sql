-- What sources declare about metrics, and the first and newest counts of each counter: a restart must change no rate.
CREATE TABLE metric_types (
    tenant      text NOT NULL,
    metric      text NOT NULL,
    type        text NOT NULL,
    changed_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, metric)
);

-- One row for each counter, updated with each request; free space in each page keeps these updates cheap.
CREATE TABLE counters (
    tenant     text NOT NULL,
    series_id  bigint NOT NULL,
    times      timestamptz[] NOT NULL,
    counts     double precision[] NOT NULL,
    PRIMARY KEY (tenant, series_id)
) WITH (fillfactor = 50);
