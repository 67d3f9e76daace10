"""How things are said to people."""

from __future__ import annotations

import pytest

from web.dashboard.words import browser, sentence, too_fast


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", "Firefox on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/149.0 Safari/537.36 Edg/149.0", "Edge on Windows"),
        ("Mozilla/5.0 (Linux; Android 16) Chrome/149.0 Mobile Safari/537.36", "Chrome on Android"),
        ("Mozilla/5.0 (iPhone; CPU like Mac OS X) Version/19 Safari/605.1", "Safari on iPhone"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15) Version/19 Safari/605.1", "Safari on macOS"),
        ("curl/8.5.0", "curl/8.5.0"),
        ("<script>alert(1)</script>" * 9, ("<script>alert(1)</script>" * 9)[:40]),
        ("", "Unknown browser"),
    ],
)  # fmt: skip
def test_a_browser_in_a_few_words(agent: str, expected: str):
    assert browser(agent) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.2, "a second"), (14, "14 seconds"),
     (45, "a minute"), (61, "2 minutes"),
     (540, "9 minutes"), (7200, "2 hours")],
)  # fmt: skip
def test_when_to_come_back(seconds: float, expected: str):
    said = too_fast("too many tries; try again in 540 s", seconds)
    assert said == f"Too many tries. Please try again in {expected}."


def test_a_clause_becomes_a_sentence():
    assert sentence("there is nobody") == "There is nobody."
    assert sentence("Really?") == "Really?"
    assert sentence(" ") == ""
