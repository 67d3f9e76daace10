"""Unsubscribe tokens: they come back whole, and nobody else can make one."""

from __future__ import annotations

import re
import uuid

from hypothesis import given
from hypothesis import strategies as st

from flute_server.domain.unsubscribe import read_token, secret_of, token

SECRET, OLDER = secret_of("an installation's key"), secret_of("the key before")
numbers = st.integers(1, (1 << 63) - 1)


@given(st.uuids(), numbers)
def test_comes_back_with_any_of_the_keys(email_id: uuid.UUID, recipient: int):
    made = token(OLDER, email_id, recipient)
    assert re.fullmatch(r"[A-Za-z0-9_-]{54}", made)
    assert read_token([SECRET, OLDER], made) == (email_id, recipient)
    assert read_token([SECRET], made) is None
    assert read_token([], made) is None


@given(st.uuids(), numbers, st.integers(0, 53), st.sampled_from("AZaz09-_"))
def test_every_changed_letter_breaks_it(email_id: uuid.UUID, recipient: int, place: int, letter: str):
    made = token(SECRET, email_id, recipient)
    changed = made[:place] + letter + made[place + 1 :]
    assert read_token([SECRET], changed) == ((email_id, recipient) if changed == made else None)


@given(st.text(max_size=80) | st.text("ABCdef-_012=", min_size=50, max_size=60))
def test_nonsense_is_no_token(text: str):
    assert read_token([SECRET], text) is None


def test_there_is_one_way_to_write_it():
    made = token(SECRET, uuid.UUID(int=1), 1)
    for form in (made + "==", made + "=", f" {made}", made + "\n", made.replace("_", "/"), made + "A"):
        assert form == made or read_token([SECRET], form) is None


def test_return_paths_and_links_have_different_secrets():
    from flute_server.domain import verp  # noqa: PLC0415

    assert verp.secret_of("a") != secret_of("a")
    assert secret_of(" a\n") == secret_of("a")
