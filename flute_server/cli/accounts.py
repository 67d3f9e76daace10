"""`flute account`: the tenants."""

from __future__ import annotations

import click
from flute.v1.account_service_pb2 import CreateAccountRequest, ListAccountsRequest

from flute_server.cli.common import as_json, plain, print_json, print_list, remote, secret_value, when
from flute_server.local.client import Client


@click.group()
def account() -> None:
    """Tenants: each owns its environments, provider accounts and members."""


@account.command()
@click.option("--name", prompt=True, help="What people call it.")
@click.option("--email", prompt="Owner's email", help="The owner's address, with which they log in.")
@click.option(
    "--password",
    envvar="FLUTE_PASSWORD",
    show_envvar=True,
    prompt=True,
    hide_input=True,
    confirmation_prompt=True,
    help="12 to 1,000 characters; @FILE or - (standard input) keep it out of the shell's history.",
)
@as_json
@remote
def create(client: Client, name: str, email: str, password: str, as_json: bool) -> None:
    """Create an account with its first member, the owner."""
    request = CreateAccountRequest(name=name, owner_email=email, owner_password=secret_value(password))
    made = client.call(client.accounts.CreateAccount, request)
    print_json(plain(made)) if as_json else click.echo(f"created account {made.name}: {made.id}")


@account.command("list")
@as_json
@remote
def list_(client: Client, as_json: bool) -> None:
    """List all accounts."""
    rows = list(client.pages(client.accounts.ListAccounts, ListAccountsRequest(), "accounts"))
    print_list(
        rows,
        as_json,
        ("ID", "NAME", "CREATED (UTC)"),
        lambda row: (row.id, row.name, when(row.create_time)),
        "There is no account yet: `flute account create`.",
    )
