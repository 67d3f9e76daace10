"""`flute route`: the order in which an environment tries its provider accounts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import click
from flute.v1 import provider_account_service_pb2
from flute.v1 import route_service_pb2 as pb

from flute_server.cli.common import (
    as_json,
    environment_id,
    plain,
    print_json,
    print_list,
    provider_account_id,
    remote,
)
from flute_server.local.client import Client

_account = click.option("--account", help="Id or name; not needed when there is only one.")
_environment = click.option("--environment", help="Id or name; not needed when there is only one.")


def _settings(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that `add` and `update` share. What was not given is None."""
    for option in (
        click.option(
            "--authenticated/--not-authenticated",
            default=None,
            help="The provider signs for the environment's domain (DKIM aligned), so a mail that was refused"
            " for want of authentication may be tried through it.",
        ),
        click.option(
            "--max-per-day", type=click.IntRange(0), help="Mails beyond it (UTC) go on or wait; 0: no cap."
        ),
        click.option("--max-per-second", type=click.IntRange(0), help="As --max-per-day, for each second."),
        click.option("--weight", type=int, help="Share among routes of the same position; default 1."),
        click.option("--position", type=int, help="Lower is tried first; after the last one if not given."),
    ):
        function = option(function)
    return function


_which = click.argument("route", metavar="ID")


@click.group()
def route() -> None:
    """Which provider accounts an environment sends through, and in which order."""


@route.command()
@_account
@_environment
@click.option("--provider-account", prompt=True, help="Id or name.")
@_settings
@as_json
@remote
def add(
    client: Client,
    *,
    account: str | None,
    environment: str | None,
    provider_account: str,
    as_json: bool,
    **settings: Any,  # noqa: ANN401 - as _settings says
) -> None:
    """Add a provider account to an environment."""
    new = pb.Route(
        environment_id=environment_id(client, account, environment),
        provider_account_id=provider_account_id(client, account, provider_account),
        **_given(settings),
    )
    made = client.call(client.routes.CreateRoute, pb.CreateRouteRequest(route=new))
    print_json(plain(made)) if as_json else click.echo(f"added route {made.id} at position {made.position}")


@route.command("list")
@_account
@_environment
@as_json
@remote
def list_(client: Client, account: str | None, environment: str | None, as_json: bool) -> None:
    """List an environment's routes in the order in which they are tried."""
    request = pb.ListRoutesRequest(environment_id=environment_id(client, account, environment))
    rows = client.call(client.routes.ListRoutes, request).routes
    heads = ("POSITION", "PROVIDER ACCOUNT", "WEIGHT", "", "ID")
    print_list(
        rows,
        as_json,
        heads,
        lambda row: (
            str(row.position),
            _name(client, row),
            str(row.weight),
            ", ".join(_notes(row)),
            row.id,
        ),
        "There is no route yet, so nothing can be sent: `flute route add`.",
    )


@route.command()
@_which
@_settings
@click.option("--disable/--enable", "disabled", default=None, help="A disabled route is passed over.")
@as_json
@remote
def update(
    client: Client,
    *,
    route: str,
    as_json: bool,
    **settings: Any,  # noqa: ANN401 - disabled, and as _settings says
) -> None:
    """Change what is given."""
    given = _given(settings)
    if not given:
        raise click.ClickException("Nothing to change was given; see --help.")
    request = pb.UpdateRouteRequest(route=pb.Route(id=route, **given))
    request.update_mask.paths.extend(given)
    made = client.call(client.routes.UpdateRoute, request)
    print_json(plain(made)) if as_json else click.echo(f"updated route {made.id}")


@route.command()
@_which
@remote
def remove(client: Client, route: str) -> None:
    """Take a provider account out of an environment."""
    client.call(client.routes.DeleteRoute, pb.DeleteRouteRequest(id=route))
    click.echo(f"removed route {route}")


def _given(settings: dict[str, Any]) -> dict[str, Any]:
    """What was given, by field name."""
    return {name: value for name, value in settings.items() if value is not None}


def _notes(row: pb.Route) -> Iterator[str]:
    if row.disabled:
        yield "disabled"
    if row.max_per_second:
        yield f"at most {row.max_per_second:,} a second"
    if row.max_per_day:
        yield f"at most {row.max_per_day:,} a day"
    if row.authenticated:
        yield "authenticated"


def _name(client: Client, row: pb.Route) -> str:
    request = provider_account_service_pb2.GetProviderAccountRequest(id=row.provider_account_id)
    found = client.call(client.provider_accounts.GetProviderAccount, request)
    return f"{found.name} ({found.provider})"
