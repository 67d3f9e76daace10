"""`python -m tests.bench.batch`: mails a second accepted in batches of 100, next to the target of 6,000.

Everything runs at once on this machine: the callers, web, server and databases; no worker. Every mail has
another recipient, subject and metadata. Arguments: `web`, `grpc`, or none for both.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection as PipeEnd
from pathlib import Path
from urllib.parse import urlsplit

import grpc
from flute.v1.email_service_pb2 import SendEmailBatchRequest
from flute.v1.email_service_pb2_grpc import EmailServiceStub
from google.protobuf.json_format import ParseDict

from flute_server import sandbox as sandboxes
from flute_server.local.embedded import temporary
from tests.bench.__main__ import forget, say
from tests.bench.load import Connection, Tally, request_bytes
from tests.stack import DOMAIN, Stack, running

BATCH = 100
BATCHES = 20
CLIENTS = 3
SECONDS = 8.0

# True when the whole batch was accepted.
Send = Callable[[int], bool]


def mail(batch: int, number: int) -> dict[str, object]:
    """A short mail, like no other."""
    name = f"user{batch * BATCH + number}"
    return {
        "from": {"email": f"hello@{DOMAIN}", "name": "Flute"},
        "to": [{"email": f"{name}@example{number % 50}.com", "name": name}],
        "subject": f"Hello {name}, your order has left us",
        "text": f"Dear {name}, " + "it will be with you tomorrow. " * 10,
        "html": f"<p>Dear {name},</p>" + "<p>it will be with you tomorrow.</p>" * 10,
        "tags": ["order"],
        "metadata": {"user": str(number)},
    }


def batches() -> Iterator[list[dict[str, object]]]:
    for batch in range(BATCHES):
        yield [mail(batch, number) for number in range(BATCH)]


@contextmanager
def over_web(address: str, token: str) -> Iterator[Send]:
    url = f"{address}/v1/email/batch"
    bodies = [request_bytes(url, {"access_token": token, "emails": emails}) for emails in batches()]
    parts = urlsplit(url)
    local = threading.local()

    def send(number: int) -> bool:
        if not hasattr(local, "connection"):
            local.connection = Connection((parts.hostname or "", parts.port or 80))
        status, body = local.connection.call(bodies[number % BATCHES])
        return status == 202 and all("id" in result for result in json.loads(body)["results"])

    yield send


@contextmanager
def over_grpc(address: str, token: str) -> Iterator[Send]:
    requests = [ParseDict({"emails": emails}, SendEmailBatchRequest()) for emails in batches()]
    metadata = (("authorization", f"Bearer {token}"),)
    with grpc.insecure_channel(address) as channel:
        stub = EmailServiceStub(channel)

        def send(number: int) -> bool:
            answer = stub.SendEmailBatch(requests[number % BATCHES], metadata=metadata, timeout=30)
            return all(result.id for result in answer.results)

        yield send


DOORS = {"web": over_web, "grpc": over_grpc}


def _generate(pipe: PipeEnd, door: str, address: str, token: str) -> None:
    tally, lock = Tally(), threading.Lock()
    with DOORS[door](address, token) as send:
        send(0)
        end = time.monotonic() + SECONDS

        def work(first: int) -> None:
            number = first
            while (begin := time.monotonic()) < end:
                well = send(number)
                number += 1
                with lock:
                    tally.times.append(time.monotonic() - begin)
                    tally.done += well
                    tally.refused += not well

        threads = [threading.Thread(target=work, args=(n * BATCHES // CLIENTS,)) for n in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    pipe.send(tally)


def measure(stack: Stack, door: str) -> None:
    """From a process of its own, so that the callers share no interpreter with anything."""
    address = stack.web_address if door == "web" else stack.grpc
    context = get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    token = stack.tenant("postmark").access_token
    process = context.Process(target=_generate, args=(send, door, address, token))
    process.start()
    tally: Tally = receive.recv()
    process.join()
    say(f"accept in batches of {BATCH} over {door}", f"{tally.done * BATCH / SECONDS:.0f}/s", ">= 6,000/s")
    middle = statistics.median(tally.times) * 1000
    say(f"  time of a call with {CLIENTS} callers, median", f"{middle:.1f} ms", "-")
    if tally.refused:
        say("  calls that were refused at least in part", str(tally.refused), "0")
    forget(stack)


def main() -> None:
    """Run the doors named on the command line, or both."""
    with (
        tempfile.TemporaryDirectory() as folder,
        temporary() as services,
        sandboxes.start() as sandbox,
        running(services, sandbox, Path(folder), workers=0) as stack,
    ):
        for door in sys.argv[1:] or DOORS:
            measure(stack, door)


if __name__ == "__main__":
    main()
