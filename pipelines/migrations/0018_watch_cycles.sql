-- How long each step of a watch cycle took: pairs of step and seconds, in the order of the steps.
CREATE TABLE watch_cycles (
    tenant        text NOT NULL,
    at            timestamptz NOT NULL,
    step_seconds  jsonb NOT NULL,
    PRIMARY KEY (tenant, at)
);
