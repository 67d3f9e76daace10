"""How a provider account fares, in words."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import click
from flute.v1 import provider_account_service_pb2 as pb

from flute_server.cli.common import print_table, printable, when

_NO_BOUNCES = "bounces: they go to the sender, where Flute does not see them; set bounce_domain"
Health = pb.ProviderAccount | pb.DomainHealth


def in_a_line(row: pb.ProviderAccount) -> str:
    """For the list of provider accounts."""
    words = f"paused since {when(row.pause_time)} UTC" if row.paused else _doubt(row) or state(row)
    count = len(row.domains)
    return f"{words}; failing at {count} receiving domain{'s' * (count != 1)}" if count else words


def state(row: Health) -> str:
    """Whether mail goes through; if not, why and what happens next."""
    if row.breaker_state == pb.BREAKER_STATE_CLOSED:
        return f"slowed down: {row.breaker_reason}; {next_try(row)}" if _is_paused(row) else "ok"
    words = f"passed over: {row.breaker_reason or 'it failed'}"
    return f"{words}; {next_try(row)}"


def _doubt(row: pb.ProviderAccount) -> str:
    """What the last check, or the want of one, speaks against; empty if nothing."""
    if row.state == pb.PROVIDER_ACCOUNT_STATE_NOT_TRIED:
        return "not tried yet"
    words = {
        pb.PROVIDER_ACCOUNT_STATE_CREDENTIALS_REFUSED: "credentials refused",
        pb.PROVIDER_ACCOUNT_STATE_CHECK_FAILED: "check failed",
    }.get(row.state)
    return f"{words}: {row.last_check.text}" if words else ""


def next_try(row: Health) -> str:
    """When mail is given to it again."""
    if row.breaker_state == pb.BREAKER_STATE_HALF_OPEN:
        return "one mail is trying it now"
    if row.HasField("retry_time"):
        return f"tried again at {when(row.retry_time)} UTC"
    return "waits for a person"


def _is_paused(row: Health) -> bool:
    """Closed all the same: a provider that asked to slow down is well."""
    if not row.HasField("retry_time"):
        return False
    return row.retry_time.ToDatetime(UTC) > datetime.now(UTC)


def show(row: pb.ProviderAccount) -> None:
    """Everything there is to know about it."""
    click.echo(f"{printable(row.name)} ({row.provider}): {row.id}")
    click.echo(f"health: {printable(_doubt(row) or state(row))}")
    for line in _check(row):
        click.echo(line)
    if row.paused:
        since = f"paused since {when(row.pause_time)} UTC"
        click.echo(f"{since}; to give it mail: flute provider-account resume {row.id}")
    if row.breaker_state == pb.BREAKER_STATE_OPEN:
        click.echo(f"  to use it at once: flute provider-account reset {row.id}")
    if row.domains:
        click.echo("receiving domains at which it fails; their mail goes elsewhere:")
        table = [(f"  {told.domain}", told.breaker_reason, next_try(told)) for told in row.domains]
        print_table(("  DOMAIN", "WHY", "NEXT"), table, "")
    for line in _settings(row):
        click.echo(line)


def _check(row: pb.ProviderAccount) -> Iterator[str]:
    """How the last check of the credentials ended."""
    told = row.last_check
    if not row.HasField("last_check"):
        yield f"credentials: not checked yet; to check them: flute provider-account verify {row.id}"
        return
    outcome = "taken" if told.ok else "refused" if told.refused else "check failed"
    yield f"credentials: {outcome} at {when(told.time)} UTC: {printable(told.text)}"
    if told.advice:
        yield f"  {printable(told.advice)}"


def _settings(row: pb.ProviderAccount) -> Iterator[str]:
    if row.credentials:
        yield "settings (secrets are never shown):"
        yield from (
            f"  {name} = {printable(value)}" for name, value in sorted(row.credentials.items()) if value
        )
    if row.webhook_path:
        yield f"webhook: <public address of the API>{row.webhook_path}"
        yield from (f"  {number}. {printable(step)}" for number, step in enumerate(row.webhook_help, start=1))
        yield from _events(row)
    else:
        yield "webhook: none, for it posts no events"
    if "bounce_domain" in row.credentials:
        domain = printable(row.credentials["bounce_domain"])
        yield f"bounces: the MX of {domain} must lead to `flute bounces`" if domain else _NO_BOUNCES


def _events(row: pb.ProviderAccount) -> Iterator[str]:
    """Whether its events arrive."""
    came = row.HasField("last_event_time")
    yield f"events: the last came at {when(row.last_event_time)} UTC" if came else "events: none came yet"
    if row.HasField("last_rejected_event"):
        told = row.last_rejected_event
        yield f"  one was refused at {when(told.time)} UTC: {printable(told.reason)}"
