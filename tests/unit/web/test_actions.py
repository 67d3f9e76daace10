"""The audit log in words."""

from __future__ import annotations

from typing import get_args

from flute_server.admin.audit import Action
from web.dashboard.actions import action


def test_everything_that_the_server_puts_on_record_has_words_of_its_own():
    codes = get_args(Action)
    words = [action(code) for code in codes]
    assert not set(words) & set(codes)
    assert len(set(words)) == len(codes)
    assert action("moon.eclipse") == "moon.eclipse"
