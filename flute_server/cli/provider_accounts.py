"""`flute provider` and `flute provider-account`: kinds of sending service, and credentials there."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click
from flute.v1 import provider_account_service_pb2 as pb

from flute_server.cli import health
from flute_server.cli.common import (
    account_id,
    as_json,
    plain,
    print_json,
    print_list,
    printable,
    provider_account_id,
    remote,
    secret_value,
)
from flute_server.local.client import Client

_ENV = "FLUTE_CREDENTIAL_"
_account = click.option("--account", help="Id or name; not needed when there is only one.")
_credential = click.option(
    "--credential",
    "credentials",
    multiple=True,
    metavar="NAME=VALUE",
    help=f"Repeatable. VALUE may be @FILE or - (standard input); {_ENV}NAME in the environment works too.",
)
_which = click.argument("provider_account", metavar="ID_OR_NAME")


@click.group()
def provider() -> None:
    """The kinds of provider that can be connected."""


@provider.command("list")
@click.option("--capabilities", is_flag=True, help="Tell what each can do, too.")
@as_json
@remote
def list_providers(client: Client, capabilities: bool, as_json: bool) -> None:
    """List the kinds of provider and what connecting each takes."""
    kinds = _kinds(client)
    if as_json:
        print_json([plain(kind) for kind in kinds])
        return
    for kind in kinds:
        click.echo(f"{kind.slug}  ({kind.name})")
        for field in kind.fields:
            click.echo("  " + _field_line(field))
        for able in kind.capabilities if capabilities else ():
            click.echo(f"  {'+' if able.supported else '-'} {able.text}")


@click.group()
def provider_account() -> None:
    """Credentials at sending services. They are encrypted at rest and never shown again."""


@provider_account.command()
@_account
@click.option("--provider", prompt=True, help="The kind, see `flute provider list`.")
@click.option("--name", help="What people call it; the kind's own name where not given.")
@_credential
@as_json
@remote
def create(
    client: Client,
    *,
    account: str | None,
    provider: str,
    name: str | None,
    credentials: Sequence[str],
    as_json: bool,
) -> None:
    """Connect a provider. Asks for what it needs and was not given."""
    kind = next((kind for kind in _kinds(client) if kind.slug == provider), None)
    if kind is None:
        raise click.ClickException(f"There is no provider {provider!r}; see `flute provider list`.")
    new = pb.ProviderAccount(
        account_id=account_id(client, account),
        provider=provider,
        name=name or kind.name,
        credentials=_ask_missing(kind, _given(kind, credentials)),
    )
    made = client.call(
        client.provider_accounts.CreateProviderAccount, pb.CreateProviderAccountRequest(provider_account=new)
    )
    if as_json:
        print_json(plain(made))
        return
    click.echo(f"created provider account {made.name}: {made.id}")
    click.echo(f"try the credentials with: flute provider-account verify {made.id}")


@provider_account.command("list")
@_account
@as_json
@remote
def list_(client: Client, account: str | None, as_json: bool) -> None:
    """List the provider accounts and whether mail goes through them."""
    request = pb.ListProviderAccountsRequest(account_id=account_id(client, account))
    rows = list(client.pages(client.provider_accounts.ListProviderAccounts, request, "provider_accounts"))
    print_list(
        rows,
        as_json,
        ("ID", "PROVIDER", "NAME", "HEALTH"),
        lambda row: (row.id, row.provider, row.name, health.in_a_line(row)),
        "There is none yet: `flute provider-account create`.",
    )


@provider_account.command()
@_which
@_account
@as_json
@remote
def show(client: Client, provider_account: str, account: str | None, as_json: bool) -> None:
    """Show its health, where it fails and why, its settings, and how to set up its webhook."""
    id_ = provider_account_id(client, account, provider_account)
    row = client.call(client.provider_accounts.GetProviderAccount, pb.GetProviderAccountRequest(id=id_))
    print_json(plain(row)) if as_json else health.show(row)


@provider_account.command()
@_which
@_account
@as_json
@remote
def reset(client: Client, provider_account: str, account: str | None, as_json: bool) -> None:
    """Forget what is held against it: mail is given to it again at once, at every receiving domain."""
    request = pb.ResetProviderAccountRequest(id=provider_account_id(client, account, provider_account))
    row = client.call(client.provider_accounts.ResetProviderAccount, request)
    if as_json:
        print_json(plain(row))
        return
    click.echo(f"reset provider account {row.name}: {printable(health.in_a_line(row))}")


@provider_account.command()
@_which
@_account
@as_json
@remote
def pause(client: Client, provider_account: str, account: str | None, as_json: bool) -> None:
    """Give it no more mail, in any environment, until `resume`."""
    request = pb.PauseProviderAccountRequest(id=provider_account_id(client, account, provider_account))
    row = client.call(client.provider_accounts.PauseProviderAccount, request)
    print_json(plain(row)) if as_json else click.echo(f"paused provider account {printable(row.name)}")


@provider_account.command()
@_which
@_account
@as_json
@remote
def resume(client: Client, provider_account: str, account: str | None, as_json: bool) -> None:
    """Give it mail again."""
    request = pb.ResumeProviderAccountRequest(id=provider_account_id(client, account, provider_account))
    row = client.call(client.provider_accounts.ResumeProviderAccount, request)
    if as_json:
        print_json(plain(row))
        return
    click.echo(f"resumed provider account {printable(row.name)}: {printable(health.in_a_line(row))}")


@provider_account.command()
@_which
@_account
@as_json
@remote
def verify(client: Client, provider_account: str, account: str | None, as_json: bool) -> None:
    """Try the credentials with a call that sends nothing, and keep what came of it.

    Exit code 1 when they are not taken.
    """
    request = pb.VerifyProviderAccountRequest(id=provider_account_id(client, account, provider_account))
    answer = client.call(client.provider_accounts.VerifyProviderAccount, request, timeout=30)
    if as_json:
        print_json(plain(answer))
    else:
        click.echo(f"{'ok' if answer.ok else 'not ok'}: {printable(answer.text)}")
        if answer.advice:
            click.echo(answer.advice)
    if not answer.ok:
        sys.exit(1)


@provider_account.command()
@_which
@_account
@click.option("--name", help="A new name.")
@_credential
@click.option(
    "--remove-credential", "removed", multiple=True, metavar="NAME", help="Repeatable; of optional ones."
)
@as_json
@remote
def update(
    client: Client,
    *,
    provider_account: str,
    account: str | None,
    name: str | None,
    credentials: Sequence[str],
    removed: Sequence[str],
    as_json: bool,
) -> None:
    """Replace or remove what is given; mail is tried through it again at once."""
    id_ = provider_account_id(client, account, provider_account)
    now = client.call(client.provider_accounts.GetProviderAccount, pb.GetProviderAccountRequest(id=id_))
    kind = next(kind for kind in _kinds(client) if kind.slug == now.provider)
    request = _change(id_, name, _given(kind, credentials), removed)
    made = client.call(client.provider_accounts.UpdateProviderAccount, request)
    if as_json:
        print_json(plain(made))
        return
    click.echo(f"updated provider account {made.name}: {made.id}")
    if not made.HasField("last_check"):
        click.echo(f"try the credentials with: flute provider-account verify {made.id}")


@provider_account.command()
@_which
@_account
@click.confirmation_option(prompt="Remove it for good?")
@remote
def delete(client: Client, provider_account: str, account: str | None) -> None:
    """Remove a provider account that no route uses and that has carried no mail."""
    id_ = provider_account_id(client, account, provider_account)
    client.call(client.provider_accounts.DeleteProviderAccount, pb.DeleteProviderAccountRequest(id=id_))
    click.echo(f"removed provider account {id_}")


def _change(
    id_: str, name: str | None, given: dict[str, str], removed: Sequence[str]
) -> pb.UpdateProviderAccountRequest:
    """An empty credential keeps what is there: a variable that is not set must remove nothing."""
    kept = {key: value for key, value in given.items() if value.strip() and key not in removed}
    change = pb.ProviderAccount(id=id_, name=name or "", credentials=kept)
    request = pb.UpdateProviderAccountRequest(provider_account=change)
    request.update_mask.paths.extend(["name"] if name else [])
    request.update_mask.paths.extend(f"credentials.{key}" for key in (*kept, *removed))
    if not request.update_mask.paths:
        raise click.ClickException("Nothing to change: give --name, --credential or --remove-credential.")
    return request


def _kinds(client: Client) -> list[pb.Provider]:
    answer = client.call(client.provider_accounts.ListProviders, pb.ListProvidersRequest())
    return list(answer.providers)


def _field_line(field: pb.ProviderField) -> str:
    notes = ["required" if field.required else "optional"]
    if field.secret:
        notes.append("secret")
    if field.default_value:
        notes.append(f"default {field.default_value}")
    if field.choices:
        notes.append(f"one of {', '.join(field.choices)}")
    text = f"{field.label}. {field.help}".strip().rstrip(".")
    return f"{field.name:<16} {text} ({', '.join(notes)})"


def _given(kind: pb.Provider, words: Sequence[str]) -> dict[str, str]:
    names = [field.name for field in kind.fields]
    values = {name: os.environ[key] for name in names if (key := _ENV + name.upper()) in os.environ}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or name not in names:
            wanted = ", ".join(names)
            raise click.ClickException(f"--credential takes NAME=VALUE with NAME one of: {wanted}.")
        values[name] = secret_value(value)
    return values


def _ask_missing(kind: pb.Provider, values: dict[str, str]) -> dict[str, str]:
    missing = [field for field in kind.fields if field.required and not values.get(field.name)]
    if missing and not sys.stdin.isatty():
        names = ", ".join(field.name for field in missing)
        raise click.ClickException(
            f"{kind.name} also needs: {names}. Give each with --credential NAME=VALUE."
        )
    for field in missing:
        if field.help:
            click.echo(field.help, err=True)
        values[field.name] = click.prompt(field.label, hide_input=field.secret, err=True)
    return values
