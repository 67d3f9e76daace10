"""`flute environment`: FROM domains and their settings."""

from __future__ import annotations

import click
from flute.v1 import environment_service_pb2 as pb
from google.protobuf.duration_pb2 import Duration

from flute_server.cli.common import (
    Span,
    account_id,
    as_json,
    enum_word,
    environment_id,
    plain,
    print_json,
    print_table,
    remote,
    span_words,
)
from flute_server.local.client import Client

_POLICIES = {"resend": pb.AMBIGUITY_POLICY_RESEND, "wait": pb.AMBIGUITY_POLICY_WAIT}
_account = click.option("--account", help="Id or name; not needed when there is only one.")
_which = click.argument("environment", metavar="ID_OR_NAME")
_subdomains = click.option(
    "--allow-subdomains/--no-subdomains", default=None, help="May addresses below the domain send as well?"
)
_policy = click.option(
    "--on-ambiguous",
    type=click.Choice(list(_POLICIES)),
    help="When it is not known whether a provider took a mail: send again, or wait for evidence.",
)
_wait = click.option("--ambiguity-wait", type=Span(), help="How long `wait` holds a mail; default 1h.")
_give_up = click.option("--give-up-after", type=Span(), help="How long to go on trying; default 24h.")


@click.group()
def environment() -> None:
    """FROM domains, each with routes, keys and settings of its own."""


@environment.command()
@_account
@click.option("--name", prompt=True, help="What people call it, for example Transactional.")
@click.option("--domain", prompt=True, help="Mail is sent from addresses in this domain.")
@_subdomains
@_policy
@_wait
@_give_up
@as_json
@remote
def create(
    client: Client,
    *,
    account: str | None,
    name: str,
    domain: str,
    allow_subdomains: bool | None,
    on_ambiguous: str | None,
    ambiguity_wait: Duration | None,
    give_up_after: Duration | None,
    as_json: bool,
) -> None:
    """Create an environment."""
    new, _ = _settings(None, allow_subdomains, on_ambiguous, ambiguity_wait, give_up_after)
    new.account_id, new.name, new.domain = account_id(client, account), name, domain
    request = pb.CreateEnvironmentRequest(environment=new)
    made = client.call(client.environments.CreateEnvironment, request)
    print_json(plain(made)) if as_json else click.echo(f"created environment {made.name}: {made.id}")


@environment.command("list")
@_account
@as_json
@remote
def list_(client: Client, account: str | None, as_json: bool) -> None:
    """List an account's environments."""
    request = pb.ListEnvironmentsRequest(account_id=account_id(client, account))
    rows = list(client.pages(client.environments.ListEnvironments, request, "environments"))
    if as_json:
        print_json([plain(row) for row in rows])
        return
    heads = ("ID", "NAME", "DOMAIN", "ON AMBIGUOUS", "GIVE UP AFTER")
    table = [
        (row.id, row.name, _domain(row), _policy_words(row), span_words(row.give_up_after)) for row in rows
    ]
    print_table(heads, table, "There is no environment yet: `flute environment create`.")


@environment.command()
@_which
@_account
@click.option("--name", help="A new name.")
@_subdomains
@_policy
@_wait
@_give_up
@as_json
@remote
def update(
    client: Client,
    *,
    environment: str,
    account: str | None,
    name: str | None,
    allow_subdomains: bool | None,
    on_ambiguous: str | None,
    ambiguity_wait: Duration | None,
    give_up_after: Duration | None,
    as_json: bool,
) -> None:
    """Change the settings that are given."""
    change, paths = _settings(name, allow_subdomains, on_ambiguous, ambiguity_wait, give_up_after)
    if not paths:
        raise click.ClickException("Nothing to change was given; see --help.")
    change.id = environment_id(client, account, environment)
    request = pb.UpdateEnvironmentRequest(environment=change)
    request.update_mask.paths.extend(paths)
    made = client.call(client.environments.UpdateEnvironment, request)
    print_json(plain(made)) if as_json else click.echo(f"updated environment {made.name}: {made.id}")


@environment.command()
@_which
@_account
@click.confirmation_option(prompt="Remove it with its routes and keys?")
@remote
def delete(client: Client, environment: str, account: str | None) -> None:
    """Remove an environment that has accepted no mail yet, with its routes and keys."""
    id_ = environment_id(client, account, environment)
    client.call(client.environments.DeleteEnvironment, pb.DeleteEnvironmentRequest(id=id_))
    click.echo(f"removed environment {id_}")


def _settings(
    name: str | None,
    allow_subdomains: bool | None,
    on_ambiguous: str | None,
    ambiguity_wait: Duration | None,
    give_up_after: Duration | None,
) -> tuple[pb.Environment, list[str]]:
    """An environment with what was given, and the names of that."""
    given: dict[str, object] = {
        "name": name,
        "allow_subdomains": allow_subdomains,
        "on_ambiguous": _POLICIES[on_ambiguous] if on_ambiguous else None,
        "ambiguity_wait": ambiguity_wait,
        "give_up_after": give_up_after,
    }
    kept = {key: value for key, value in given.items() if value is not None}
    return pb.Environment(**kept), list(kept)  # type: ignore[arg-type]  # typed by name above


def _domain(row: pb.Environment) -> str:
    return f"{row.domain} and below" if row.allow_subdomains else row.domain


def _policy_words(row: pb.Environment) -> str:
    word = enum_word(pb.AmbiguityPolicy.Name(row.on_ambiguous), "AMBIGUITY_POLICY_")
    return f"{word} {span_words(row.ambiguity_wait)}" if word == "wait" else word
