"""The promises hold while parts are killed: nothing lost, nothing doubled without an ambiguity on record."""

from __future__ import annotations

from pathlib import Path

import pytest

from flute_server.sandbox import Sandbox
from tests.chaos.battle import battle

MAILS = 1000
SEED = 20261122


@pytest.mark.timeout(480)
@pytest.mark.parametrize("policy", ["wait", "resend"])
def test_promises_hold_under_fire(sandbox: Sandbox, tmp_path: Path, policy: str) -> None:
    books = battle(tmp_path, sandbox, policy, MAILS, SEED)
    assert books.accepted == MAILS
    assert books.lost == []
    assert books.unfinished == [], books
    assert books.unproven == []
    assert books.doubled_without_ambiguity == []
    if policy == "wait":
        assert books.doubled == []
