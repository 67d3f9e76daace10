"""How a page tells the order of routes, and what its buttons make of it."""

from __future__ import annotations

import pytest

from web.dashboard import ordering


@pytest.mark.parametrize(
    ("move", "expected"),
    [
        ("up:1", "b+c,a,d"),
        ("down:1", "a,d,b+c"),
        ("join:1", "a+b+c,d"),
        ("join:2", "a,b+c+d"),
        ("part:c", "a,b,c,d"),
        ("part:b", "a,c,b,d"),
        *[
            (move, "a,b+c,d")
            for move in ("up:0", "down:2", "part:a", "part:z", "up:9", "up:x", "", "other:1")
        ],
    ],
)
def test_one_button(move: str, expected: str):
    assert ordering.written(ordering.moved(ordering.read("a,b+c,d"), move)) == expected


@pytest.mark.parametrize(
    ("move", "following"),
    [
        ("up:2", "up:1"),
        ("up:1", "up:0"),
        ("down:0", "down:1"),
        ("up:0", "up:0"),
        ("join:1", ""),
        ("up:x", ""),
    ],
)
def test_the_same_button_again(move: str, following: str):
    assert ordering.next_move(move) == following


def test_what_is_no_order_is_left_to_the_server():
    assert ordering.read("") == []
    assert ordering.read(",,a+,") == [["a", ""]]
