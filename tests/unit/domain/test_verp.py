"""Signed return paths: they come back whole, whatever case they come in, and nobody else can make one."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flute_server.domain.verp import ALL, find_return_paths, read_return_path, return_path, secret_of

SECRET = secret_of("an installation's key")
DOMAIN = "bounces.example.org"
ATTEMPT = str(uuid.UUID(int=1))

attempts = st.uuids().map(str)
recipients = st.integers(0, (1 << 63) - 1).map(str)
letters = st.characters(codec="ascii", categories=["Ll", "Lu", "Nd"])


@given(attempts, recipients)
@example(str(uuid.UUID(int=0)), ALL)
@example(str(uuid.UUID(int=(1 << 128) - 1)), str((1 << 63) - 1))
def test_comes_back_whatever_the_case(attempt: str, recipient: str):
    address = return_path(SECRET, attempt, recipient, DOMAIN)
    assert len(address.partition("@")[0]) <= 64
    assert address.isascii()
    assert address == address.lower()
    for form in (address, address.upper(), address.title()):
        assert read_return_path(SECRET, form) == (attempt, recipient)


@given(attempts, recipients, st.binary(min_size=1))
def test_another_secret_reads_nothing(attempt: str, recipient: str, other: bytes):
    assert read_return_path(other, return_path(SECRET, attempt, recipient, DOMAIN)) is None


@given(attempts, recipients, st.data())
def test_every_changed_character_breaks_it(attempt: str, recipient: str, data: st.DataObject):
    address = return_path(SECRET, attempt, recipient, DOMAIN)
    local = address.partition("@")[0]
    place = data.draw(st.integers(0, len(local) - 1))
    other = data.draw(letters.filter(lambda c: c.lower() != local[place]))
    assert read_return_path(SECRET, f"{local[:place]}{other}{local[place + 1 :]}@{DOMAIN}") is None


@given(attempts, recipients, recipients)
def test_a_signature_fits_one_recipient_only(attempt: str, one: str, two: str):
    parts = return_path(SECRET, attempt, one, DOMAIN).split(".")
    parts[1] = return_path(SECRET, attempt, two, DOMAIN).split(".")[1]
    assert read_return_path(SECRET, ".".join(parts)) == ((attempt, one) if one == two else None)


@given(st.text(max_size=100))
@example("bounce+@x")
@example(f"bounce+{'a' * 26}.{'a' * 13}.{'a' * 16}@x.example")
@example(f"bounce+{'a' * 26}.{'7' * 13}.{'a' * 16}@x.example")
@example(f"bounce+{'a' * 26}.aaa.{'a' * 16}@x.example")
@example("bounce+" + "\u212a" * 26 + ".aa.aaaaaaaaaaaaaaaa@x.example")
def test_any_text_reads_as_nothing(text: str):
    assert read_return_path(SECRET, text) is None


def test_there_is_one_way_to_write_a_return_path():
    address = return_path(SECRET, ATTEMPT, "1", DOMAIN)
    first, _, rest = address.partition(".")
    for same_bits in (f"{first}.aaaq.", f"{first}.af.", f"{first[:-1]}f."):
        assert read_return_path(SECRET, same_bits + rest.partition(".")[2]) is None


@pytest.mark.parametrize("recipient", ["", "-1", "x", "1_0", "\u0661", str(1 << 63)])
def test_ids_of_another_form_are_refused(recipient: str):
    with pytest.raises(ValueError, match="number"):
        return_path(SECRET, ATTEMPT, recipient, DOMAIN)


def test_an_empty_secret_signs_and_reads_nothing():
    with pytest.raises(ValueError, match="secret"):
        return_path(b"", ATTEMPT, "1", DOMAIN)
    assert read_return_path(b"", return_path(SECRET, ATTEMPT, "1", DOMAIN)) is None


def test_is_found_in_a_text():
    one, two = (return_path(SECRET, ATTEMPT, n, DOMAIN) for n in ("1", "2"))
    assert find_return_paths(f"Return-Path: <{one}>\nTo: {two}, {one}\nbounce+x@y") == [one, two]


def test_secrets_of_different_keys_differ():
    assert secret_of("a") != secret_of("b")
    assert secret_of(" a\n") == secret_of("a")
