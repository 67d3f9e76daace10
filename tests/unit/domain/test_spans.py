"""How the server says spans of time."""

from __future__ import annotations

import pytest

from flute_server.domain.spans import in_words


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.2, "less than a second"),
        (1.2, "1 second"),
        (90, "90 seconds"),
        (499, "8 minutes"),
        (3600, "60 minutes"),
        (7200, "2 hours"),
        (200_000, "2 days"),
    ],
)
def test_spans(seconds: float, said: str):
    assert in_words(seconds) == said
