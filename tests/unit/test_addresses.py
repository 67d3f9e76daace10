"""The quick look at an address comes to the same verdict as the whole check."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flute_server.addresses import _why_invalid, domain_of, why_invalid

letters = st.text(alphabet="aZ9.-_+'\"@ é\0<>!", max_size=8)
locals_ = st.one_of(
    letters, st.integers(60, 70).map("x".__mul__), st.sampled_from(["a.b", ".a", "a..b", "ü"])
)
domains = st.one_of(
    letters,
    st.sampled_from(
        [
            "example.com",
            "EXAMPLE.com",
            "a.test",
            "localhost",
            "x.invalid",
            "münchen.de",
            "-a.com",
            "a_b.com",
            "1.2",
        ]
    ),
    st.integers(60, 70).map(lambda n: "y" * n + ".com"),
    st.integers(235, 252).map(lambda n: ("abcdefgh." * 28)[: n - 3].rstrip(".") + ".com"),
)


@given(locals_, domains)
def test_nothing_is_let_through_or_refused_that_was_not_before(local: str, domain: str) -> None:
    address = f"{local}@{domain}"
    assert bool(why_invalid(address)) == bool(_why_invalid(address)), address


@pytest.mark.parametrize("address", ["ada@example.com", "o'neil+x@sub.example.com", "zoë@example.com"])
def test_usual_addresses_are_well(address: str) -> None:
    assert why_invalid(address) == ""


@pytest.mark.parametrize("letter", ["a", "é", '" '])
def test_megabytes_are_refused_without_being_looked_at(letter: str) -> None:
    before, begin = _why_invalid.cache_info().currsize, time.process_time()
    assert "too long" in why_invalid(letter * 4_000_000 + "@example.com")
    with pytest.raises(ValueError, match="too long"):
        domain_of(letter * 4_000_000)
    assert time.process_time() - begin < 0.5
    assert _why_invalid.cache_info().currsize == before
