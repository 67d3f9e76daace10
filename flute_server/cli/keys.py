"""`flute key`: the keys with which apps send."""

from __future__ import annotations

import click
from flute.v1 import api_key_service_pb2 as pb

from flute_server.cli.common import as_json, environment_id, plain, print_json, print_table, remote, when
from flute_server.local.client import Client

_account = click.option("--account", help="Id or name; not needed when there is only one.")
_environment = click.option("--environment", help="Id or name; not needed when there is only one.")


@click.group()
def key() -> None:
    """API keys. Each lets an app send in one environment."""


@key.command()
@_account
@_environment
@click.option("--name", prompt=True, help="What people call it, for example the app's name.")
@as_json
@remote
def create(client: Client, account: str | None, environment: str | None, name: str, as_json: bool) -> None:
    """Create a key. Its access token is shown now and never again."""
    request = pb.CreateApiKeyRequest(environment_id=environment_id(client, account, environment), name=name)
    made = client.call(client.api_keys.CreateApiKey, request)
    if as_json:
        print_json(plain(made))
        return
    click.echo(f"created key {made.api_key.name}: {made.api_key.id}", err=True)
    click.echo("its access token, shown only this once:", err=True)
    click.echo(made.access_token)


@key.command("list")
@_account
@_environment
@as_json
@remote
def list_(client: Client, account: str | None, environment: str | None, as_json: bool) -> None:
    """List an environment's keys, revoked ones included."""
    request = pb.ListApiKeysRequest(environment_id=environment_id(client, account, environment))
    rows = list(client.pages(client.api_keys.ListApiKeys, request, "api_keys"))
    if as_json:
        print_json([plain(row) for row in rows])
        return
    table = [(row.id, row.name, f"{row.hint}...", _state(row), when(row.last_used_time)) for row in rows]
    print_table(
        ("ID", "NAME", "TOKEN", "STATE", "LAST USED (UTC)"), table, "There is no key yet: `flute key create`."
    )


@key.command()
@click.argument("key", metavar="ID")
@remote
def revoke(client: Client, key: str) -> None:
    """End a key at once and for good."""
    made = client.call(client.api_keys.RevokeApiKey, pb.RevokeApiKeyRequest(id=key))
    click.echo(f"revoked key {made.name}: {made.id}")


def _state(row: pb.ApiKey) -> str:
    return f"revoked {when(row.revoke_time)}" if row.HasField("revoke_time") else "valid"
