"""`flute bounces`: receives the mail that comes back and hands it to flute_server."""

from __future__ import annotations

import asyncio
import os
import signal

import click
from flute.v1.event_service_pb2 import IngestBounceRequest
from flute.v1.event_service_pb2_grpc import EventServiceStub

from flute_server.bounces.receive import Accepts, Limits, Receiver
from flute_server.cli.processes import read_config
from flute_server.config import Config
from flute_server.domain.verp import read_return_path, secret_of
from flute_server.local.client import Client

MEGABYTE = 1024 * 1024


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=2525, show_default=True, type=click.IntRange(0, 65535))
@click.option("--lmtp", is_flag=True, help="Speak LMTP, behind a mail server that takes the bounces.")
@click.option(
    "--max-mb", default=10, show_default=True, type=click.IntRange(1, 10), help="The largest mail to take."
)
def bounces(host: str, port: int, lmtp: bool, max_mb: int) -> None:
    """Receive bounces and complaints by SMTP or LMTP. Settings come from the environment.

    Takes mail for the return paths that this installation signs, and for nothing else. Point the MX of a
    provider account's bounce_domain here.
    """
    config = read_config()
    with _Door(config) as door:
        limits = Limits(max_octets=max_mb * MEGABYTE)
        receiver = Receiver(_signed(config), door.store, lmtp=lmtp, limits=limits)
        try:
            asyncio.run(_serve(receiver, host, port))
        except OSError as error:
            raise click.ClickException(f"cannot listen on {host} port {port}: {error.strerror}") from error


class _Door(Client):
    """The way to flute_server."""

    def __init__(self, config: Config) -> None:
        ca = os.environ.get("FLUTE_GRPC_TLS_CA", "").strip()
        super().__init__(config.grpc_address, config.service_token, ca)
        self._ingest = EventServiceStub(self._channel).IngestBounce

    def store(self, recipient: str, raw: bytes) -> None:
        """Returns when the mail is durable. Raises RpcFailed."""
        self.call(self._ingest, IngestBounceRequest(recipient=recipient, raw=raw))


def _signed(config: Config) -> Accepts:
    secrets = [secret_of(key) for key in config.secret_keys]
    return lambda address: any(read_return_path(secret, address) for secret in secrets)


async def _serve(receiver: Receiver, host: str, port: int) -> None:
    """Until told to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    port = await receiver.open(host, port)
    click.echo(f"bounces: listening on {host} port {port}", err=True)
    await stop.wait()
    await receiver.close()
