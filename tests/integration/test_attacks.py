"""What somebody tries who means no good."""

from __future__ import annotations

import time

from tests.integration.people import Browser, People, refused

# Each becomes 18 letters when it is made comparable (NFKC).
SWELLING = "\ufdfa" * 1_000_000


def test_a_password_of_megabytes_takes_no_time(people: People):
    people.operator()
    stranger, begin = Browser(people), time.monotonic()
    with refused("BAD_LOGIN"):
        stranger.log_in(SWELLING)
    with refused("INVALID_FIELDS", "password"):
        stranger.sign_up(password=SWELLING)
    with refused("INVALID_FIELDS", "new_password"):
        stranger.reset("flute_once_x", SWELLING)
    with refused("INVALID_FIELDS", "email"):
        stranger.sign_up(email="a" * 4_000_000 + "@example.com")
    assert time.monotonic() - begin < 2
