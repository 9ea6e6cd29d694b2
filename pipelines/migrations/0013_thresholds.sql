-- A threshold from the history of a series that has no SLO and no limit; it is no SLO until people accept it.
ALTER TABLE series ADD COLUMN proposed_threshold double precision;

-- Earlier limits of series: history is judged by the limit of its time.
CREATE TABLE limit_changes (
    tenant        text NOT NULL,
    series_id     bigint NOT NULL,
    at            timestamptz NOT NULL,
    limit_before  double precision NOT NULL,
    limit_after   double precision NOT NULL,
    PRIMARY KEY (tenant, series_id, at)
);

-- Who declared the type of a metric, and what two sources declare differently.
ALTER TABLE metric_types ADD COLUMN source text NOT NULL DEFAULT '';
CREATE TABLE contradictions (
    tenant        text NOT NULL,
    metric        text NOT NULL,
    field         text NOT NULL,
    source        text NOT NULL,
    value         text NOT NULL,
    other_source  text NOT NULL,
    other_value   text NOT NULL,
    seen_at       timestamptz NOT NULL,
    PRIMARY KEY (tenant, metric, field)
);
