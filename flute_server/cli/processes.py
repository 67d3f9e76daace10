"""`flute server`, `web`, `worker` and `migrate`: the parts one by one, as on several machines."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, NoReturn

import click

from flute_server.config import Config, ConfigError
from flute_server.local.errors import LocalError
from flute_server.local.parts import gunicorn_config

if TYPE_CHECKING:
    from sqlalchemy.exc import SQLAlchemyError


def read_config() -> Config:
    """The settings; a missing one ends the command with a sentence."""
    try:
        return Config.from_env()
    except ConfigError as error:
        raise click.ClickException(f"{error}. `flute doctor` checks all settings.") from error


@click.command()
def server() -> None:
    """Run the gRPC server in the foreground. Settings come from the environment."""
    read_config()
    _become("flute_server")


@click.command()
def web() -> None:
    """Run the public API and the pages with gunicorn. Settings come from the environment."""
    try:
        config = str(gunicorn_config())
    except LocalError as error:
        raise click.ClickException(str(error)) from error
    _become("gunicorn", "--config", config, "web:create_app()")


@click.command()
def worker() -> None:
    """Run one worker in the foreground. Settings come from the environment."""
    read_config()
    _become("workers")


@click.command()
def migrate() -> None:
    """Bring the database schema up to date. Safe to run again, and before every start.

    After a dump was restored, it lets the order of events go on in the new PostgreSQL.
    """
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 - slow, and this module serves more

    from flute_server.schema import pending_migrations, succeed, upgrade  # noqa: PLC0415 - as above

    config = read_config()
    logging.basicConfig(level="WARNING", format="%(levelname)s %(name)s: %(message)s")
    try:
        pending = pending_migrations(config)
        if pending:
            upgrade(config)
        moved = succeed(config)
    except SQLAlchemyError as error:
        raise click.ClickException(database_trouble(error)) from error
    count = len(pending)
    click.echo(f"applied {count} migration{'s' * (count != 1)}" if count else "the schema is up to date")
    if moved:
        click.echo("the database comes from another PostgreSQL: the order of its events goes on")


def database_trouble(error: SQLAlchemyError) -> str:
    """What the database said, without the URL and its password."""
    said = str(getattr(error, "orig", None) or error).strip().splitlines()
    return f"PostgreSQL at DATABASE_URL: {said[0] if said else type(error).__name__}"


def _become(module: str, *arguments: str) -> NoReturn:
    """Replace this process: signals and exit code are the part's own."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606 - our own module
