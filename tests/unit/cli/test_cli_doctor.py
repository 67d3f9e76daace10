"""How `flute doctor` sums up."""

from __future__ import annotations

import pytest

from flute_server.cli.checks import Finding
from flute_server.cli.doctor import _print, _summary


@pytest.mark.parametrize(
    ("trouble", "hints", "text"),
    [
        (0, 0, "all is well"),
        (1, 0, "1 problem"),
        (2, 0, "2 problems"),
        (0, 1, "no problems, 1 hint"),
        (1, 2, "1 problem, 2 hints"),
    ],
)
def test_the_last_line(trouble: int, hints: int, text: str):
    assert _summary(trouble, hints) == text


def test_a_hint_stands_out_and_is_no_problem(capsys: pytest.CaptureFixture[str]):
    _print(Finding("alerts", True, "2 open at Acme", "see: flute alert list", hint=True))
    first, second = capsys.readouterr().out.splitlines()
    assert first.split() == ["hint", "alerts", "2", "open", "at", "Acme"]
    assert second.strip() == "-> see: flute alert list"
