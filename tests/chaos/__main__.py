"""`make chaos`: the long run, first with `wait`, then with `resend`."""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path

from flute_server import sandbox as sandboxes
from tests.chaos.battle import battle
from tests.chaos.run import Books

MAILS = 10_000


def told(books: Books) -> str:
    """The books in a line: lists by their length, and the first few of what broke a promise."""
    parts = {name: len(value) if isinstance(value, list) else value for name, value in vars(books).items()}
    broken = [*books.lost, *books.unfinished, *books.unproven, *books.doubled_without_ambiguity][:5]
    return ", ".join(f"{name} {value}" for name, value in parts.items()) + (
        f"; see {broken}" if broken else ""
    )


def main() -> None:
    """Arguments: how many mails (10,000), and a seed."""
    mails = int(sys.argv[1]) if len(sys.argv) > 1 else MAILS
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**6)
    broken = False
    for policy in ("wait", "resend"):
        with tempfile.TemporaryDirectory() as folder, sandboxes.start() as sandbox:
            books = battle(Path(folder), sandbox, policy, mails // 2, seed)
        sys.stdout.write(f"{policy}, seed {seed}: {told(books)}\n")
        broken |= bool(books.lost or books.unfinished or books.unproven or books.doubled_without_ambiguity)
        broken |= policy == "wait" and bool(books.doubled)
    sys.exit("a promise was broken" if broken else 0)


if __name__ == "__main__":
    main()
