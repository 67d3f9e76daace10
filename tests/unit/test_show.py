"""How the dashboard says numbers, shares, durations, times and states."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from web.dashboard import instants, show


@pytest.mark.parametrize(("value", "said"), [(0, "0"), (12345, "12,345"), (1234.56, "1,234.6")])
def test_numbers(value: float, said: str):
    assert show.number(value) == said


@pytest.mark.parametrize(("value", "said"), [(999, "999"), (12345, "12.3k"), (4_000_000, "4m")])
def test_numbers_where_there_is_little_room(value: float, said: str):
    assert show.compact(value) == said


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0, "0 %"),
        (1, "100 %"),
        (0.9876, "98.8 %"),
        (0.99999, "> 99.9 %"),
        (0.00001, "< 0.1 %"),
        (0.5, "50 %"),
    ],
)
def test_shares_are_never_rounded_to_all_or_nothing(share: float, said: str):
    assert show.percent(share) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0 s"),
        (0.25, "250 ms"),
        (2.5, "2.5 s"),
        (93, "1 min 33 s"),
        (90061, "1 d 1 h"),
        (timedelta(hours=24), "1 d"),
        (Duration(seconds=90), "1 min 30 s"),
        (None, show.NOTHING),
    ],
)
def test_durations(value: Duration | timedelta | float | None, said: str):
    assert show.duration(value) == said


def test_times():
    time = datetime(2026, 11, 3, 9, 5, 7, tzinfo=UTC)
    stamp = Timestamp()
    stamp.FromDatetime(time)
    exact = 'datetime="2026-11-03T09:05:07.000Z" title="2026-11-03 09:05:07 UTC"'
    said = f"<time {exact}>3 Nov 2026, 09:05 UTC</time>"
    assert show.moment(time) == show.moment(stamp) == said
    assert show.moment(Timestamp()) == show.moment(None) == show.NOTHING


def test_attributes_are_escaped_and_left_away():
    given = {"hx_get": '/x?a="b"', "disabled": True, "min": None, "required": False, "class_": "a"}
    assert show.attributes(given) == 'hx-get="/x?a=&#34;b&#34;" disabled class="a"'


def test_every_state_has_a_tone():
    assert show.tone("delivered") == "good"
    assert show.tone("half_open") == "warn"
    assert show.tone("never heard of") == "neutral"


def test_names_in_a_text_are_left_as_they_are():
    assert show.sentence("half_open") == "Half open"
    assert show.sentence("set FLUTE_SYSTEM_SMTP first") == "Set FLUTE_SYSTEM_SMTP first"


def test_shares_of_a_whole():
    assert list(show.shares([("a", 30, "good"), ("b", 10, "bad")])) == [
        (0.0, 75.0, "good"),
        (75.0, 25.0, "bad"),
    ]
    assert list(show.shares([("a", 0, "good")])) == [(0.0, 0.0, "good")]


def test_times_within_sentences_are_shown_as_times():
    said = show.timed(
        "It waits <until> 2026-11-30 17:00:05 UTC, since 2026-11-30 16:00 UTC; not 2026-99-99 10:00 UTC."
    )
    assert said.startswith('It waits &lt;until&gt; <time data-show=exact datetime="2026-11-30T17:00:05.000Z"')
    assert said.count("<time ") == 2
    assert said.endswith("UTC</time>; not 2026-99-99 10:00 UTC.")


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("scheduled for 30 Nov 2026 at 17:00:05 UTC", "2026-11-30T17:00:05.000Z"),
        ("works until 30 Nov 2026 17:00 UTC", "2026-11-30T17:00:00.000Z"),
    ],
)
def test_so_are_times_that_name_the_month(text: str, time: str):
    assert f' datetime="{time}"' in show.timed(text)


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("2026-11-30T17:00Z", "2026-11-30T17:00"),
        ("2026-11-30T17:00", "2026-11-30T17:00"),
        ("2026-11-30T17:00:05+01:00", "2026-11-30T16:00:05"),
        ("0001-01-01T00:00+14:00", ""),
        ("yesterday", ""),
    ],
)
def test_a_typed_time_is_in_utc_unless_it_says_otherwise(typed: str, shown: str):
    assert instants.field_value(typed) == shown
