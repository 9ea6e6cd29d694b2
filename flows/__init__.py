"""The flows (order, schedule, retries and progress of the pipeline steps) and the `forewarn` command."""
