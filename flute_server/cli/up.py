"""`flute up`."""

from __future__ import annotations

from pathlib import Path

import click

from flute_server.cli.common import data_folder
from flute_server.local.errors import LocalError
from flute_server.local.up import Wish
from flute_server.local.up import up as run


@click.command()
@click.option(
    "--demo",
    is_flag=True,
    help="Add a sandbox of providers, an environment that sends through them, and `flute bounces`.",
)
@data_folder("Where everything is kept.")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    envvar="FLUTE_PORT",
    show_envvar=True,
    help="Port of the public API. Without it 8080, or another if that is taken.",
)
def up(demo: bool, data_dir: Path, port: int | None) -> None:
    """Run everything on this machine: database, queue, server, worker and web.

    DATABASE_URL and REDIS_URL, where set, are used instead of the embedded PostgreSQL and Valkey.
    FLUTE_BOUNCES_BIND, where set (host:port, such as 0.0.0.0:25), adds `flute bounces` there; the demo always
    has it. When all is ready, DIR/ready.json says where. Ctrl-C stops everything; the next start resumes.
    """
    try:
        run(Wish(data_dir, demo, port))
    except LocalError as error:
        raise click.ClickException(str(error)) from error
