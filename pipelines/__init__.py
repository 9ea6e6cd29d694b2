"""The steps of the main job: plain functions with I/O that a flow, a command or a notebook calls alike."""
