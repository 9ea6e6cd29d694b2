"""`forewarn db`: the embedded database, and the migrations of any database."""

import typer

from flows.commands.console import AsJson, print_json, settings_for, show

app = typer.Typer(help="Start, stop and migrate the database.", no_args_is_help=True)


@app.command()
def up(as_json: AsJson = False) -> None:
    """Start the embedded database, or connect to FOREWARN_DATABASE_URL, and apply missing migrations."""
    from pipelines.stores.ready import up as bring_up

    show(bring_up(settings_for(None)), as_json=as_json)


@app.command()
def down(as_json: AsJson = False) -> None:
    """Stop the embedded database. Its data stay. A database of FOREWARN_DATABASE_URL is not stopped."""
    from pipelines.stores.ready import down as take_down

    show(take_down(settings_for(None)), as_json=as_json)


@app.command()
def migrate(as_json: AsJson = False) -> None:
    """Apply missing migrations."""
    from pipelines.stores.ready import apply_migrations

    applied = apply_migrations(settings_for(None))
    if as_json:
        print_json({"applied": applied})
    else:
        typer.echo("\n".join(f"applied {name}" for name in applied) or "no missing migrations")


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show where the database is, whether it responds, and which migrations are applied."""
    from pipelines.stores.ready import status as database_status

    show(database_status(settings_for(None)), as_json=as_json)
