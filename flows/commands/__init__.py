"""The commands of `forewarn`, one file for each group. A command calls one function of `pipelines/`."""
