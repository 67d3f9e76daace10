"""`flute sandbox`: the providers' look-alikes in the foreground."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from flute_server.sandbox.listener import PortTaken
from flute_server.sandbox.run import DEFAULT_PORT, NAMES, choose_ports, serve, write_ready_file


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535 - len(NAMES)),
    help=f"Control port; the providers get the next {len(NAMES)}. 0 picks free ones."
    f" Without it {DEFAULT_PORT} and on, or free ones where these are taken.",
)
@click.option(
    "--ready-file", type=click.Path(path_type=Path), help="Write the addresses there as JSON when ready."
)
@click.option("--certificate", help="PEM file; with it and --key the SMTP server offers STARTTLS.")
@click.option("--key", help="PEM file of the certificate's key.")
def sandbox(
    host: str, port: int | None, ready_file: Path | None, certificate: str | None, key: str | None
) -> None:
    """Play SendGrid, Postmark, SparkPost, Mailgun and an SMTP server.

    Mail sent to them is kept in an inbox and goes nowhere. The control port tells what arrived and makes a
    provider fail on demand: GET /, GET /inbox, PUT /providers/NAME/mode. What becomes of accepted mail is
    told to webhooks, PUT /providers/NAME/webhook {"url": ...}, and by mail, PUT /providers/smtp/bounces
    {"host": ..., "port": ...}; see GET /events and POST /providers/NAME/events.
    """

    def ready(description: dict[str, Any]) -> None:
        for line in _summary(description):
            click.echo(line)
        if ready_file is not None:
            write_ready_file(ready_file, description)

    pair = (certificate, key) if certificate and key else None
    try:
        asyncio.run(serve(host, choose_ports(host, port), ready, pair))
    except PortTaken as error:
        raise click.ClickException(
            f"port {error.port} on {host} is taken. --port needs {len(NAMES) + 1} free ones in a row"
            f" (control, {', '.join(NAMES)}); without it free ones are picked."
        ) from error
    if ready_file is not None:
        ready_file.unlink(missing_ok=True)


def _summary(description: dict[str, Any]) -> list[str]:
    lines = [f"sandbox ready, control: {description['control']}"]
    for name, provider in description["providers"].items():
        accepted = ", ".join(f"{key} {value}" for key, value in provider["credentials"].items())
        lines.append(f"  {name:<10} {provider['base_url']:<28} {accepted}")
    return lines
