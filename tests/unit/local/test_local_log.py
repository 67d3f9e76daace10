"""The merged log."""

from __future__ import annotations

import io
import re

from flute_server.local.log import Log


def shown(*lines: tuple[str, bytes]) -> list[str]:
    out = io.StringIO()
    log = Log(out)
    for part, raw in lines:
        log.line(part, raw)
    return out.getvalue().splitlines()


def test_each_line_has_time_and_part():
    (line,) = shown(("web", b"hello"))
    assert re.fullmatch(r"\d\d:\d\d:\d\d web +hello", line)


def test_control_characters_cannot_steer_the_terminal():
    (line,) = shown(("web", b"subject \x1b[2Jboo\x07"))
    assert line.endswith("subject ?[2Jboo?")


def test_the_chatter_of_the_databases_is_left_out_and_their_trouble_is_not():
    lines = shown(
        ("postgres", b"LOG:  database system is ready to accept connections"),
        ("postgres", b"LOG:  shutting down"),
        ("postgres", b"LOG:  database system was not properly shut down; automatic recovery in progress"),
        ("valkey", b"123:M 01 Jan # WARNING Memory overcommit must be enabled! Without it ..."),
        ("postgres", b"PANIC:  could not write to file"),
    )
    assert [line[18:] for line in lines] == [
        "LOG:  database system was not properly shut down; automatic recovery in progress",
        "PANIC:  could not write to file",
    ]


def test_a_part_that_starts_anew_is_not_explained_by_its_past():
    log = Log(io.StringIO())
    log.line("web", b"old")
    log.forget("web")
    log.line("web", b"new")
    assert log.last_lines("web") == ["new"]


def test_a_closed_terminal_ends_nothing():
    out = io.StringIO()
    log = Log(out)
    out.close()
    log.line("web", b"unheard")
