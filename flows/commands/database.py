"""`forewarn db`: the embedded database, and the migrations of any."""

import typer

from flows.commands.console import AsJson, print_json, settings_for, show

app = typer.Typer(help="Start, stop and migrate the database.", no_args_is_help=True)


@app.command()
def up(as_json: AsJson = False) -> None:
    """Start the embedded database (or reach the one of FOREWARN_DATABASE_URL) and migrate it."""
    from pipelines.stores.ready import up as bring_up

    show(bring_up(settings_for(None)), as_json=as_json)


@app.command()
def down(as_json: AsJson = False) -> None:
    """Stop the embedded database; the data stay. A database given by DSN is left alone."""
    from pipelines.stores.ready import down as take_down

    show(take_down(settings_for(None)), as_json=as_json)


@app.command()
def migrate(as_json: AsJson = False) -> None:
    """Apply the migrations that the database lacks."""
    from pipelines.stores.ready import apply_migrations

    applied = apply_migrations(settings_for(None))
    if as_json:
        print_json({"applied": applied})
    else:
        typer.echo("\n".join(f"applied {name}" for name in applied) or "nothing to apply")


@app.command()
def status(as_json: AsJson = False) -> None:
    """Where the database is, whether it answers, and which migrations it has."""
    from pipelines.stores.ready import status as database_status

    show(database_status(settings_for(None)), as_json=as_json)
