"""What the commands over gRPC share: finding the server, one line for an error, tables and JSON."""

from __future__ import annotations

import json
import os
import re
import sys
import uuid
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click
from flute.v1 import account_service_pb2, environment_service_pb2, provider_account_service_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from flute_json.render import render
from flute_server.local.client import Client, RpcFailed
from flute_server.local.errors import LocalError
from flute_server.local.files import read_json
from flute_server.local.ready import read_ready

_Function = TypeVar("_Function", bound=Callable[..., Any])
M = TypeVar("M", bound=Message)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def connect(data_dir: Path) -> Client:
    """A client for FLUTE_GRPC_ADDRESS with FLUTE_SERVICE_TOKEN, else for the `flute up` of the folder."""
    address = os.environ.get("FLUTE_GRPC_ADDRESS", "").strip() or read_ready(data_dir).get("grpc", "")
    token = os.environ.get("FLUTE_SERVICE_TOKEN", "").strip()
    token = token or read_json(data_dir / "secrets.json").get("service_token", "")
    if not address:
        raise click.ClickException(
            f"No Flute runs on the data folder {data_dir} (it has no ready.json). Start `flute up`, name its "
            "folder with --data-dir, or set FLUTE_GRPC_ADDRESS and FLUTE_SERVICE_TOKEN."
        )
    if not token:
        raise click.ClickException(
            f"There is no service token: set FLUTE_SERVICE_TOKEN, or name the data folder with --data-dir "
            f"({data_dir} has none)."
        )
    return Client(address, token, os.environ.get("FLUTE_GRPC_TLS_CA", "").strip())


def data_folder(help_: str) -> Callable[[_Function], _Function]:
    """The option that names the folder of a `flute up`."""
    return click.option(
        "--data-dir",
        type=click.Path(file_okay=False, path_type=Path),
        default=".flute",
        envvar="FLUTE_DATA_DIR",
        show_default=True,
        show_envvar=True,
        help=help_,
    )


def remote(function: _Function) -> _Function:
    """Give a command a client as its first argument, and turn failures into one line."""

    @data_folder("The folder of a `flute up` on this machine.")
    @wraps(function)
    def command(*args: object, data_dir: Path, **options: object) -> object:
        try:
            with connect(data_dir) as client:
                return function(client, *args, **options)
        except (RpcFailed, LocalError) as error:
            raise click.ClickException(str(error)) from error

    return command  # type: ignore[return-value]  # the same command with one option more


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def plain(message: Message) -> dict[str, Any]:
    """A message as the JSON API tells it: the same names and words, whichever of the two a program asks."""
    return render(message)


def print_json(value: object) -> None:
    """JSON for a program to read."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(heads: Sequence[str], rows: Iterable[Sequence[str]], empty: str) -> None:
    """Columns for a person to read; `empty` says what to do when there is nothing."""
    table = [[printable(cell) for cell in row] for row in rows]
    if not table:
        click.echo(empty, err=True)
        return
    widths = [max(len(cell) for cell in column) for column in zip(heads, *table, strict=True)]
    for row in [list(heads), *table]:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def print_list(
    rows: Iterable[M], as_json: bool, heads: Sequence[str], cells: Callable[[M], Sequence[str]], empty: str
) -> None:
    """A list for a program to read, or for a person."""
    if as_json:
        print_json([plain(row) for row in rows])
    else:
        print_table(heads, map(cells, rows), empty)


def printable(text: str) -> str:
    """Text of others on one line; it must not steer the terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def when(time: Timestamp) -> str:
    """A time for a person, in UTC."""
    return time.ToDatetime().strftime("%Y-%m-%d %H:%M:%S") if time.seconds else ""


def enum_word(value_name: str, prefix: str) -> str:
    """DELIVERY_STATE_SENT -> sent."""
    return value_name.removeprefix(prefix).lower().replace("_", " ")


def secret_value(text: str) -> str:
    """@file: the file's content; -: standard input; @@x: the text @x; else the text itself."""
    if text == "-":
        return sys.stdin.read().rstrip("\r\n")
    if text.startswith("@@"):
        return text[1:]
    if text.startswith("@"):
        try:
            return Path(text[1:]).expanduser().read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise click.ClickException(f"{text[1:]} cannot be read: {error}") from error
    return text


class Span(click.ParamType[Duration]):
    """A time span such as 90s, 15m, 24h or 7d."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Duration:
        found = re.fullmatch(r"(\d{1,9})([smhd])", str(value).strip())
        if not found:
            self.fail(f"{value!r} is no time span; write 90s, 15m, 24h or 7d", param, ctx)
        return Duration(seconds=int(found[1]) * _UNITS[found[2]])


class Pair(click.ParamType[tuple[str, str]]):
    """NAME=VALUE."""

    name = "name=value"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        key, equals, text = str(value).partition("=")
        if not (key and equals):
            self.fail(f"{value!r} is no pair; write NAME=VALUE", param, ctx)
        return key, text


class Moment(click.ParamType[Timestamp]):
    """A time as RFC 3339 writes it, or a time span from now."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Timestamp:
        text, stamp = str(value).strip(), Timestamp()
        if text.startswith(("+", "-")):
            stamp.GetCurrentTime()
            span = Span().convert(text[1:], param, ctx).seconds
            stamp.seconds += span if text.startswith("+") else -span
            return stamp
        try:
            stamp.FromJsonString(text.upper().replace(" ", "T", 1))
        except ValueError:
            self.fail(
                f"{value!r} is no time; write 2026-12-24T18:00:00Z, or +90s, +15m, +24h, +7d", param, ctx
            )
        return stamp


WHEN = "A time such as 2026-12-24T18:00:00Z, or +15m from now; at most 30 days ahead."


def span_words(duration: Duration) -> str:
    """86400 s -> 1d."""
    for unit in ("d", "h", "m"):
        if duration.seconds and duration.seconds % _UNITS[unit] == 0:
            return f"{duration.seconds // _UNITS[unit]}{unit}"
    return f"{duration.seconds}s"


def account_id(client: Client, given: str | None) -> str:
    """The account with this id or name; the only one where none is given."""
    pb = account_service_pb2
    rows = client.pages(client.accounts.ListAccounts, pb.ListAccountsRequest(), "accounts")
    return _pick(rows, given, "account", "flute account list")


def environment_id(client: Client, account: str | None, given: str | None) -> str:
    """The environment with this id or name."""
    if given and _is_id(given):
        return given
    request = environment_service_pb2.ListEnvironmentsRequest(account_id=account_id(client, account))
    rows = client.pages(client.environments.ListEnvironments, request, "environments")
    return _pick(rows, given, "environment", "flute environment list")


def provider_account_id(client: Client, account: str | None, given: str | None) -> str:
    """The provider account with this id or name."""
    if given and _is_id(given):
        return given
    request = provider_account_service_pb2.ListProviderAccountsRequest(account_id=account_id(client, account))
    rows = client.pages(client.provider_accounts.ListProviderAccounts, request, "provider_accounts")
    return _pick(rows, given, "provider-account", "flute provider-account list")


def _pick(rows: Iterable[Any], given: str | None, kind: str, listing: str) -> str:
    if given and _is_id(given):
        return given
    found = [row for row in rows if given in {None, row.name}]
    if len(found) == 1:
        return str(found[0].id)
    if given and found:
        raise click.ClickException(
            f"There are {len(found)} {kind}s named {given!r}; give the id (`{listing}`)."
        )
    if given:
        raise click.ClickException(f"There is no {kind} {given!r}; see `{listing}`.")
    if not found:
        raise click.ClickException(f"There is no {kind} yet; make one with `flute {kind} create`.")
    raise click.ClickException(f"There are {len(found)}: choose one with --{kind} (`{listing}`).")


def _is_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
