"""`flute environment`: FROM domains and their settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import click
from flute.v1 import environment_service_pb2 as pb

from flute_server.cli.common import (
    Span,
    account_id,
    as_json,
    enum_word,
    environment_id,
    plain,
    print_json,
    print_list,
    printable,
    remote,
    span_words,
    when,
)
from flute_server.cli.domain_checks import check
from flute_server.cli.rates import rate_limit, rate_options, rate_words
from flute_server.local.client import Client

_CHOICES: dict[str, dict[str, int]] = {
    "on_ambiguous": {"resend": pb.AMBIGUITY_POLICY_RESEND, "wait": pb.AMBIGUITY_POLICY_WAIT},
    "on_delay": {"wait": pb.DELAY_POLICY_WAIT, "resend": pb.DELAY_POLICY_RESEND},
}
_account = click.option("--account", help="Id or name; not needed when there is only one.")
_which = click.argument("environment", metavar="ID_OR_NAME")


def _settings(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that `create` and `update` share. What was not given is None."""
    for option in (
        click.option("--give-up-after", type=Span(), help="How long to go on trying; default 24h."),
        click.option(
            "--on-delay",
            type=click.Choice(list(_CHOICES["on_delay"])),
            help="When a provider took a mail and is silent for too long: wait (the default: never a second"
            " copy), or send it again through another (rather twice than late).",
        ),
        click.option("--ambiguity-wait", type=Span(), help="How long `wait` holds a mail; default 1h."),
        click.option(
            "--on-ambiguous",
            type=click.Choice(list(_CHOICES["on_ambiguous"])),
            help="When it is not known whether a provider took a mail: send again, or wait for evidence.",
        ),
        click.option(
            "--allow-subdomains/--no-subdomains",
            default=None,
            help="May addresses below the domain send as well?",
        ),
        click.option(
            "--one-click-unsubscribe/--no-one-click-unsubscribe",
            default=None,
            help="Give mail with one recipient a signed unsubscribe link (RFC 8058).",
        ),
        click.option(
            "--retention-days",
            type=click.IntRange(0, 3650),
            help="Remove the content of mail so many days after it is finished; 0 keeps it.",
        ),
        click.option(
            "--track-opens/--no-track-opens",
            default=None,
            help="Let providers tell when mail is opened, where a request does not say.",
        ),
        click.option(
            "--track-clicks/--no-track-clicks",
            default=None,
            help="Let providers tell when links are followed, where a request does not say.",
        ),
        click.option("--monthly-quota", type=int, help="Mails a calendar month (UTC); 0 for no limit."),
        rate_options("Mails from all keys together"),
    ):
        function = option(function)
    return function


@click.group()
def environment() -> None:
    """FROM domains, each with routes, keys and settings of its own."""


environment.add_command(check)


@environment.command()
@_account
@click.option("--name", prompt=True, help="What people call it, for example Transactional.")
@click.option("--domain", prompt=True, help="Mail is sent from addresses in this domain.")
@_settings
@as_json
@remote
def create(
    client: Client,
    *,
    account: str | None,
    name: str,
    domain: str,
    as_json: bool,
    **settings: Any,  # noqa: ANN401 - as _settings says
) -> None:
    """Create an environment."""
    given = _given(settings)
    new = pb.Environment(account_id=account_id(client, account), name=name, domain=domain, **given)
    request = pb.CreateEnvironmentRequest(environment=new)
    _tell("created", client.call(client.environments.CreateEnvironment, request), as_json)


@environment.command("list")
@_account
@as_json
@remote
def list_(client: Client, account: str | None, as_json: bool) -> None:
    """List an account's environments, and what to know about their routes."""
    request = pb.ListEnvironmentsRequest(account_id=account_id(client, account))
    rows = list(client.pages(client.environments.ListEnvironments, request, "environments"))
    heads = ("ID", "NAME", "DOMAIN", "ON AMBIGUOUS", "ON DELAY", "GIVE UP AFTER")
    print_list(rows, as_json, heads, _row, "There is no environment yet: `flute environment create`.")
    if not as_json:
        _warn(rows)


def _row(row: pb.Environment) -> tuple[str, ...]:
    return (row.id, row.name, _domain(row), _ambiguous(row), _delay(row), span_words(row.give_up_after))


@environment.command()
@_which
@_account
@as_json
@remote
def show(client: Client, environment: str, account: str | None, as_json: bool) -> None:
    """Show its settings, and what to know about its routes."""
    request = pb.GetEnvironmentRequest(id=environment_id(client, account, environment))
    row = client.call(client.environments.GetEnvironment, request)
    if as_json:
        print_json(plain(row))
        return
    click.echo(f"{printable(row.name)}: {row.id}")
    for name, value in (
        ("domain", _domain(row)),
        ("on ambiguous", _ambiguous(row)),
        ("on delay", _delay(row)),
        ("give up after", span_words(row.give_up_after)),
        ("rate limit", rate_words(row) or "none"),
        ("monthly quota", f"{row.monthly_quota:,} mails" if row.monthly_quota else "none"),
        ("unsubscribe", "one-click link" if row.one_click_unsubscribe else "no link"),
        ("content", f"removed after {row.retention_days} days" if row.retention_days else "kept"),
        ("tracking", _tracking(row)),
        ("created (UTC)", when(row.create_time)),
    ):
        click.echo(f"  {name:<14} {value}")
    _warn([row])


@environment.command()
@_which
@_account
@click.option("--name", help="A new name.")
@_settings
@as_json
@remote
def update(
    client: Client,
    *,
    environment: str,
    account: str | None,
    as_json: bool,
    **settings: Any,  # noqa: ANN401 - name, and as _settings says
) -> None:
    """Change the settings that are given."""
    given = _given(settings)
    if not given:
        raise click.ClickException("Nothing to change was given; see --help.")
    change = pb.Environment(id=environment_id(client, account, environment), **given)
    request = pb.UpdateEnvironmentRequest(environment=change)
    request.update_mask.paths.extend(given)
    _tell("updated", client.call(client.environments.UpdateEnvironment, request), as_json)


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


def _given(settings: dict[str, Any]) -> dict[str, Any]:
    """What was given, by field name, as the contract says it. --rate 0 takes the limit away."""
    rate, burst = settings.pop("rate"), settings.pop("burst")
    given = {
        name: _CHOICES[name][value] if name in _CHOICES else value
        for name, value in settings.items()
        if value is not None
    }
    if rate is not None or burst is not None:
        given["rate_limit"] = rate_limit(rate, burst) if rate != 0 else None
    return given


def _tell(what: str, row: pb.Environment, as_json: bool) -> None:
    if as_json:
        print_json(plain(row))
        return
    click.echo(f"{what} environment {printable(row.name)}: {row.id}")
    _warn([row])


def _warn(rows: Iterable[pb.Environment]) -> None:
    for row in rows:
        for difference in row.differences:
            click.echo(f"note: {printable(row.name)}: {printable(difference)}", err=True)
        for warning in row.warnings:
            mark = click.style("warning", fg="yellow")
            click.echo(f"{mark}: {printable(row.name)}: {printable(warning)}", err=True)


def _domain(row: pb.Environment) -> str:
    return f"{row.domain} and below" if row.allow_subdomains else row.domain


def _ambiguous(row: pb.Environment) -> str:
    word = enum_word(pb.AmbiguityPolicy.Name(row.on_ambiguous), "AMBIGUITY_POLICY_")
    return f"{word} {span_words(row.ambiguity_wait)}" if word == "wait" else word


def _delay(row: pb.Environment) -> str:
    return enum_word(pb.DelayPolicy.Name(row.on_delay), "DELAY_POLICY_")


def _tracking(row: pb.Environment) -> str:
    """What is tracked where a request does not say."""
    tracked = [name for name, on in (("opens", row.track_opens), ("clicks", row.track_clicks)) if on]
    return " and ".join(tracked) or "only where asked for"
