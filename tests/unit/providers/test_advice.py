"""What people are told to do about credentials that are not taken."""

from __future__ import annotations

from flute_server.domain.outcome import ErrorKind
from flute_server.egress import ALLOW_HINT
from flute_server.providers.advice import advice


def test_a_private_address_needs_no_look_at_the_firewall():
    assert "firewall" in advice(ErrorKind.UNREACHABLE, "cannot resolve smtp.acme.example")
    assert advice(ErrorKind.UNREACHABLE, f"127.0.0.1 is at a private address; {ALLOW_HINT}") == ""
