"""The `forewarn` command, one file a group; each command is a thin cover of one function in `pipelines/`."""
