"""`forewarn keys`: the API keys of a tenant."""

from typing import Annotated

import typer

from flows.commands.console import AsJson, TenantOption, print_json, settings_for

app = typer.Typer(help="Manage API keys. A key belongs to one tenant.", no_args_is_help=True)


@app.command()
def create(
    note: Annotated[str, typer.Option(help="The person or program that will use the key.")] = "",
    tenant: TenantOption = None,
    as_json: AsJson = False,
) -> None:
    """Create a key and print it. Copy it now: only its hash is stored, so it cannot be shown again."""
    from pipelines.operate.keys import create_key

    key = create_key(settings_for(tenant), note)
    if as_json:
        print_json({"key": key})
    else:
        typer.echo(key)


@app.command("list")
def list_keys(tenant: TenantOption = None, as_json: AsJson = False) -> None:
    """List the keys of the tenant, without their secrets."""
    from pipelines.operate.keys import list_keys as listed

    rows = listed(settings_for(tenant))
    if as_json:
        print_json(rows)
        return
    for row in rows:
        state = "revoked" if row.revoked_at else "active"
        typer.echo(f"{row.key_id}  {state:<8}{row.created_at:%Y-%m-%d %H:%M}  {row.note}")


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="The id that `forewarn keys list` shows.")],
    tenant: TenantOption = None,
) -> None:
    """Revoke a key. The service refuses it from now on."""
    from pipelines.operate.keys import revoke_key

    revoke_key(settings_for(tenant), key_id)
    typer.echo(f"revoked {key_id}")
