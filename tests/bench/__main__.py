"""`make bench`: what Flute does on this machine, next to its targets (design: accept 1,000/s, 500 mails/s).

Everything runs at once on this machine: the load generator, web, server, worker, databases and sandbox.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import psycopg

from flute_server import sandbox as sandboxes
from flute_server.local.embedded import temporary
from tests.bench.load import run
from tests.stack import Stack, Tenant, running, until

CLIENTS = 16
SECONDS = 8.0
MAILS = 4000
SINGLES = 40


def say(name: str, figure: str, target: str) -> None:
    sys.stdout.write(f"{name:<58} {figure:>16}   target {target}\n")
    sys.stdout.flush()


def accept_rate(stack: Stack) -> None:
    """One mail a call, with the workers asleep: what taking in costs alone."""
    tenant = stack.tenant("postmark")
    for worker in stack.workers:
        worker.stop()
    url = f"{stack.web_address}/v1/email"
    run(url, tenant.body(), clients=CLIENTS, seconds=2)
    begin = time.monotonic()
    tally = run(url, tenant.body(), clients=CLIENTS, seconds=SECONDS)
    rate = tally.done / min(time.monotonic() - begin, SECONDS)
    middle = statistics.median(tally.times) * 1000
    say("accept, one mail a call", f"{rate:.0f}/s", ">= 1,000/s")
    say(f"  time of a call with {CLIENTS} callers, median", f"{middle:.1f} ms", "-")
    if tally.refused:
        say("  refused", str(tally.refused), "0")
    forget(stack)


def forget(stack: Stack) -> None:
    """Take what was accepted for measuring out of the queue."""
    with psycopg.connect(stack.services.database_url, autocommit=True) as database:
        database.execute("UPDATE email SET due_time = NULL")
        database.execute("VACUUM ANALYZE email")


def delivery_rate(stack: Stack) -> None:
    """From the first POST until the sandbox has the last mail, through one HTTP provider."""
    tenant = stack.tenant("postmark")
    stack.workers = []
    stack.add_worker()
    stack.sandbox.reset()
    begin = time.monotonic()
    run(f"{stack.web_address}/v1/email", tenant.body(), clients=CLIENTS, seconds=120, calls=MAILS)
    taken = time.monotonic() - begin
    until(lambda: stack.sandbox.count() >= MAILS, f"{MAILS} mails delivered", 120)
    whole = time.monotonic() - begin
    say(f"end to end, {MAILS} mails, accept and deliver at once", f"{MAILS / whole:.0f}/s", ">= 500/s")
    say("  of which accepting took", f"{taken:.1f} of {whole:.1f} s", "-")
    backlog(stack, tenant)


def backlog(stack: Stack, tenant: Tenant) -> None:
    """Delivery alone: the worker wakes up to a full queue."""
    stack.workers.pop().stop()
    run(f"{stack.web_address}/v1/email", tenant.body(), clients=CLIENTS, seconds=120, calls=MAILS)
    stack.sandbox.reset()
    stack.add_worker()
    until(lambda: stack.sandbox.count() >= 1, "the first mail", 30)
    begin = time.monotonic()
    until(lambda: stack.sandbox.count() >= MAILS, f"{MAILS} mails delivered", 120)
    say(f"delivery alone, backlog of {MAILS}", f"{MAILS / (time.monotonic() - begin):.0f}/s", "-")


def latency(stack: Stack, tenant: Tenant) -> list[float]:
    """Seconds from just before the POST until a provider has the mail, one mail at a time."""
    times = []
    for _ in range(SINGLES):
        stack.sandbox.clear_inbox()
        begin = time.time()
        tenant.send()
        [mail] = stack.sandbox.wait_for(1)
        times.append(datetime.fromisoformat(mail["received_at"]).timestamp() - begin)
    return times


def latencies(stack: Stack) -> None:
    """Idle latency, and what a failover adds to it: with the breaker closed, and once it is open."""
    plain = stack.tenant("postmark")
    latency(stack, plain)
    direct = statistics.median(latency(stack, plain))
    say("idle, POST -> provider has the mail, median", f"{direct * 1000:.1f} ms", "< 50 ms")
    stack.sandbox.set_mode("sendgrid", "down")
    times = []
    for _ in range(SINGLES // 2):  # a new account each, whose breaker is still closed
        tenant = stack.tenant("sendgrid", "postmark")
        stack.sandbox.clear_inbox()
        begin = time.time()
        tenant.send()
        [mail] = stack.sandbox.wait_for(1)
        times.append(datetime.fromisoformat(mail["received_at"]).timestamp() - begin)
    added = statistics.median(times) - direct
    say("failover from a provider that is down adds, median", f"{added * 1000:.1f} ms", "< 100 ms")
    tenant = stack.tenant("sendgrid", "postmark")
    for _ in range(5):
        tenant.wait(tenant.send(), "sent")
    added = statistics.median(latency(stack, tenant)) - direct
    say("  once its breaker is open, median", f"{added * 1000:.1f} ms", "about 0")


def memory(stack: Stack) -> None:
    """Resident memory after the load."""
    parts = {"server": stack.server, "web": stack.web, "worker": stack.workers[-1]}
    for name, process in parts.items():
        if process.popen:
            status = Path(f"/proc/{process.popen.pid}/status").read_text()
            kilobytes = int(status.partition("VmRSS:")[2].split()[0])
            say(f"resident memory of {name}", f"{kilobytes // 1024} MB", "< 120 MB")


PARTS: tuple[Callable[[Stack], None], ...] = (accept_rate, delivery_rate, latencies, memory)


def main() -> None:
    """Run the parts named on the command line, or all."""
    wanted = sys.argv[1:]
    with (
        tempfile.TemporaryDirectory() as folder,
        temporary() as services,
        sandboxes.start() as sandbox,
        running(services, sandbox, Path(folder), FLUTE_READ_TIMEOUT="30") as stack,
    ):
        for part in PARTS:
            if not wanted or part.__name__ in wanted:
                part(stack)


if __name__ == "__main__":
    main()
