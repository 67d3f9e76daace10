"""Which passwords will do."""

from __future__ import annotations

import pytest

from flute_server.admin.passwords import violations


@pytest.mark.parametrize(
    "password", ["password1234", "Password!2026", "passwordpassword", "123456789012", "qwertyuiop12", "1234"]
)
def test_what_is_tried_first_is_refused(password: str):
    assert violations("password", password)


@pytest.mark.parametrize(
    "password", ["correct horse battery", "my password is long", "Tr0ub4dor&3xyz", "482093175562"]
)
def test_what_nobody_tries_first_will_do(password: str):
    assert violations("password", password) == []
