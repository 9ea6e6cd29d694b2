"""Order, schedule, retries and progress; and the `forewarn` command."""
