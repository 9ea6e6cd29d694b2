-- What was learned: baselines and forecasts, each published whole, and the features that models read.
CREATE TABLE baselines (
    tenant        text NOT NULL,
    version       integer NOT NULL,
    window_start  timestamptz NOT NULL,
    window_end    timestamptz NOT NULL,
    model         jsonb,
    made_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, version)
);

CREATE TABLE baseline_rows (
    tenant         text NOT NULL,
    version        integer NOT NULL,
    series_id      bigint NOT NULL,
    n              bigint NOT NULL,
    mean           double precision,
    std            double precision,
    percentiles    double precision[] NOT NULL,
    seasonality    text NOT NULL,
    change_points  timestamptz[] NOT NULL,
    profile        double precision[] NOT NULL,
    slot_s         bigint NOT NULL,
    lower          double precision[] NOT NULL,
    upper          double precision[] NOT NULL,
    note           text NOT NULL,
    PRIMARY KEY (tenant, version, series_id),
    FOREIGN KEY (tenant, version) REFERENCES baselines ON DELETE CASCADE
);

CREATE TABLE forecasts (
    tenant         text NOT NULL,
    series_id      bigint NOT NULL,
    made_at        timestamptz NOT NULL,
    ts             timestamptz NOT NULL,
    yhat           double precision NOT NULL,
    lo_80          double precision,
    hi_80          double precision,
    lo_95          double precision,
    hi_95          double precision,
    model_name     text,
    model_version  integer,
    run_id         text,
    PRIMARY KEY (tenant, series_id, made_at, ts)
);

-- Feast reads this table; one double precision column a feature is added by Features.ensure_columns.
CREATE TABLE service_features (
    tenant      text NOT NULL,
    service_id  text NOT NULL,
    ts          timestamptz NOT NULL,
    created     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, service_id, ts)
);
