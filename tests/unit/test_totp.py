"""Codes of authenticator apps: which count, and when."""

from __future__ import annotations

import base64

import pyotp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flute_server.admin.totp import STEP_S, WINDOW, matching_step

SECRETS = st.binary(min_size=20, max_size=20).map(lambda octets: base64.b32encode(octets).decode())
TIMES = st.integers(min_value=STEP_S * 10, max_value=2**36)


# RFC 6238 appendix B, SHA-1, its last six digits.
@pytest.mark.parametrize(
    ("now", "code"), [(59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (20000000000, "353130")]
)
def test_codes_are_those_of_the_standard(now: int, code: str):
    secret = base64.b32encode(b"12345678901234567890").decode()
    assert matching_step(secret, code, now, None) == now // STEP_S


@given(SECRETS, TIMES, st.integers(min_value=-5, max_value=5))
def test_a_code_counts_in_its_time_and_in_the_steps_beside_it(secret: str, now: int, off: int):
    present = now // STEP_S
    found = matching_step(secret, pyotp.HOTP(secret).at(present + off), now, None)
    if abs(off) <= WINDOW:
        assert found is not None
    # A code of another time may by chance be that of a step in the window.
    assert found is None or (
        abs(found - present) <= WINDOW
        and pyotp.HOTP(secret).at(found) == pyotp.HOTP(secret).at(present + off)
    )


@given(SECRETS, TIMES, st.lists(st.tuples(st.integers(-WINDOW, WINDOW), st.integers(0, 40)), max_size=8))
def test_no_code_counts_twice_nor_one_older_than_the_last(
    secret: str, now: int, tries: list[tuple[int, int]]
):
    last: int | None = None
    for off, later in tries:
        now += later
        code = pyotp.HOTP(secret).at(now // STEP_S + off)
        found = matching_step(secret, code, now, last)
        if found is not None:
            assert last is None or found > last
            last = found
            assert matching_step(secret, code, now, last) != found


@given(st.text(max_size=12))
def test_what_is_no_code_is_refused(text: str):
    secret = base64.b32encode(b"12345678901234567890").decode()
    found = matching_step(secret, text, 59, None)
    assert found is None or "".join(text.split()) in {
        "287082",
        *(pyotp.HOTP(secret).at(n) for n in (0, 1, 2)),
    }


def test_blanks_in_a_code_do_not_matter():
    secret = base64.b32encode(b"12345678901234567890").decode()
    assert matching_step(secret, " 287 082", 59, None) == 1
