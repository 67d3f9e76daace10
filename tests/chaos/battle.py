"""One whole run: a stack, mails under fire, the books compared."""

from __future__ import annotations

import random
from pathlib import Path

from flute.v1 import environment_service_pb2

from flute_server.sandbox import Sandbox
from tests.chaos.run import PROVIDERS, Books, Databases, compare, kill_something, post_all, under_fire
from tests.stack import running

POLICIES = {
    "wait": environment_service_pb2.AMBIGUITY_POLICY_WAIT,
    "resend": environment_service_pb2.AMBIGUITY_POLICY_RESEND,
}
PATIENCE_S = 240.0


def battle(folder: Path, sandbox: Sandbox, policy: str, mails: int, seed: int) -> Books:
    """Send so many mails through three providers while parts die; gives the books."""
    books, dice = Books(), random.Random(seed)
    with (
        Databases(folder) as databases,
        running(
            databases.services,
            sandbox,
            folder,
            workers=2,
            FLUTE_READ_TIMEOUT="1",
            FLUTE_CONNECT_TIMEOUT="1",
            FLUTE_WEB_RPC_TIMEOUT="10",
        ) as stack,
    ):
        tenant = stack.tenant(*PROVIDERS, on_ambiguous=POLICIES[policy])
        stack.listen(tenant, *PROVIDERS)
        with under_fire(stack, dice):
            ids = post_all(tenant, mails, lambda: kill_something(stack, databases, books, dice))
        compare(stack, ids, books, PATIENCE_S)
    return books
