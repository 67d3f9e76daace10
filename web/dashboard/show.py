"""How things are said on a page: numbers, shares, durations, times, states. Filters and globals for Jinja.

{{ 12345|number }}               12,345
{{ 0.9876|percent }}             98.8 %
{{ 93|duration }}                1 min 33 s
{{ email.create_time|moment }}   <time datetime="...">, which app.js turns into the viewer's zone
{{ told.text|timed }}            what the server said, with every time in it shown so
{{ 3|plural("mail") }}           3 mails
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from flask import Flask
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from markupsafe import Markup, escape

from web.dashboard import instants, nav
from web.dashboard.actions import action
from web.dashboard.me import role_name

# A state in one word -> the tone that it is shown in. A word that is not here is shown in the neutral tone.
TONES: Mapping[str, str] = {
    "queued": "neutral", "scheduled": "info", "sending": "info", "sent": "info", "deferred": "warn",
    "delivered": "good", "bounced": "bad", "failed": "bad", "suppressed": "special", "canceled": "neutral",
    "healthy": "good", "failing": "bad", "paused": "neutral", "unknown": "neutral", "recovering": "warn",
    "ok": "good", "warning": "warn", "error": "bad", "critical": "bad", "info": "info",
    "active": "good", "enabled": "good", "disabled": "neutral", "revoked": "neutral", "expired": "warn",
    "pending": "warn", "running": "info", "done": "good", "succeeded": "good", "verified": "good",
    "missing": "bad", "wrong": "bad", "closed": "good", "open": "bad", "half open": "warn", "test": "special",
    "accepted": "info", "refused": "bad", "not sent": "warn", "ambiguous": "warn", "complained": "bad",
    "failover": "special", "opened": "good", "clicked": "good", "unsubscribed": "special",
}  # fmt: skip

NOTHING = "\N{EN DASH}"  # for what is not there
Time = Timestamp | datetime | None
# As the server writes times into sentences.
_IN_WORDS = re.compile(
    r"\b(?:\d{4}-\d\d-\d\d|\d\d [A-Z][a-z]{2} \d{4}(?: at)?) \d\d:\d\d(?::\d\d)?(?= UTC\b)"
)
DAY_S = 86400
_UNITS = ((DAY_S, "d"), (3600, "h"), (60, "min"), (1, "s"))


def register(app: Flask) -> None:
    """Give the templates everything that is here."""
    said = (number, compact, percent, duration, moment, timed, day, plural, tone, sentence, action)
    for function in (*said, attributes, from_seconds, points, shares):
        app.add_template_filter(function, function.__name__)
    app.add_template_filter(role_name, "role")
    app.add_template_filter(instants.field_value, "field_value")
    app.add_template_global(nav.sections, "sections")
    app.add_template_global(nav.person_sections, "person_sections")
    app.add_template_global(chart_data, "chart_data")


def number(value: float) -> str:
    """12345 -> 12,345; a fraction with one digit."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def compact(value: float) -> str:
    """12345 -> 12.3k, for where there is little room."""
    for size, unit in ((1e9, "bn"), (1e6, "m"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return number(value)


def percent(share: float | None, digits: int = 1) -> str:
    """0.9876 -> 98.8 %. What is not quite all or nothing is never rounded to 100 or 0 %."""
    if share is None:
        return NOTHING
    shown = f"{share * 100:.{digits}f}"
    if 0 < share < 1 and float(shown) in (0, 100):
        least = 10**-digits
        return f"< {least:g} %" if share < 0.5 else f"> {100 - least:g} %"
    return f"{shown.rstrip('0').rstrip('.') if '.' in shown else shown} %"


def duration(value: Duration | timedelta | float | None) -> str:
    """In words, at most two units: 93 -> 1 min 33 s; 0.25 -> 250 ms."""
    seconds = _seconds(value)
    if seconds is None:
        return NOTHING
    if 0 < seconds < 1:
        return f"{max(1, round(seconds * 1000))} ms"
    if seconds < 10 and not seconds.is_integer():
        return f"{seconds:.1f} s"
    left, parts = round(seconds), list[str]()
    for size, unit in _UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"


def _seconds(value: Duration | timedelta | float | None) -> float | None:
    if isinstance(value, Duration):
        value = value.ToTimedelta()
    return (
        value.total_seconds() if isinstance(value, timedelta) else (None if value is None else float(value))
    )


def moment(value: Time, empty: str = NOTHING) -> Markup:
    """A time element in UTC, which static/js/times.js turns into the viewer's zone."""
    time = _time(value)
    if time is None:
        return escape(empty)
    exact = f"{time:%Y-%m-%d %H:%M:%S} UTC"
    machine = time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Markup('<time datetime="{}" title="{}">{} {:%b %Y, %H:%M} UTC</time>').format(
        machine, exact, time.day, time
    )


def day(value: Time) -> Markup:
    """A day of UTC, as figures are counted by; it is the same in every zone."""
    time = _time(value)
    if time is None:
        return escape(NOTHING)
    return Markup('<time datetime="{:%Y-%m-%d}" data-show=day title="In UTC">{} {:%b %Y}</time>').format(
        time, time.day, time
    )


def _time(value: Time) -> datetime | None:
    """In UTC; none for a timestamp that was never set."""
    if isinstance(value, Timestamp):
        return value.ToDatetime(UTC) if value.seconds or value.nanos else None
    if value is not None and value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    return value.astimezone(UTC) if value else None


def timed(text: str) -> Markup:
    """A sentence with every time in it (2026-11-30 17:00 UTC) as an exact time element."""
    parts, end = list[Markup](), 0
    for found in _IN_WORDS.finditer(text):
        time = instants.of_sentence(found[0])
        if time is None:
            continue
        shown = moment(time).replace("<time ", Markup("<time data-show=exact "), 1)
        parts += [escape(text[end : found.start()]), shown]
        end = found.end() + len(" UTC")
    return Markup("").join([*parts, escape(text[end:])])


def plural(count: int, one: str, many: str = "") -> str:
    """3, "mail" -> 3 mails."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def tone(status: str) -> str:
    """Of a state's word: good, bad, warn, info, special or neutral."""
    return TONES.get(sentence(status).lower(), "neutral")


def sentence(word: str) -> str:
    """half_open -> Half open, as it begins a sentence or stands alone; texts keep their names: FLUTE_PORT."""
    text = word.strip()
    text = text if " " in text else text.replace("_", " ")
    return text[:1].upper() + text[1:]


def attributes(values: Mapping[str, object]) -> Markup:
    """Of an HTML tag: {"hx_get": "/x", "disabled": True, "min": None} -> hx-get="/x" disabled."""
    parts = []
    for name, value in values.items():
        if value is None or value is False:
            continue
        name = name.rstrip("_").replace("_", "-")  # noqa: PLW2901
        parts.append(escape(name) if value is True else Markup('{}="{}"').format(name, value))
    return Markup(" ").join(parts)


# ----- graphs

Part = tuple[str, float, str]  # name, value, tone
_COLOURS = 6  # of series that have no tone, in static/css/charts.css


def chart_data(
    kind: str, times: Sequence[datetime | float], series: Sequence[Mapping[str, object]], unit: str
) -> dict[str, object]:
    """What static/js/charts.js draws."""
    lines = [
        {"name": one["name"], "values": one["values"], "tone": one.get("tone") or f"tone-{at % _COLOURS + 1}"}
        for at, one in enumerate(series)
    ]
    seconds = [time.timestamp() if isinstance(time, datetime) else time for time in times]
    daily = len(seconds) > 1 and seconds[1] - seconds[0] >= DAY_S
    return {"kind": kind, "unit": unit, "daily": daily, "times": seconds, "series": lines}


def from_seconds(seconds: float) -> datetime:
    """Unix seconds -> a time."""
    return datetime.fromtimestamp(seconds, UTC)


def points(values: Sequence[float], width: float, height: float) -> str:
    """Of a polyline through the values, from the lowest to the highest."""
    low, high = min(values), max(values)
    step, span = width / max(1, len(values) - 1), (high - low) or 1
    return " ".join(
        f"{at * step:.1f},{height - (value - low) / span * (height - 2) - 1:.1f}"
        for at, value in enumerate(values)
    )


def shares(parts: Iterable[Part]) -> Iterator[tuple[float, float, str]]:
    """Where each part begins and how wide it is, in percent of the whole; with its tone."""
    kept = list(parts)
    whole = sum(value for _, value, _ in kept) or 1
    begin = 0.0
    for _, value, tone in kept:
        yield round(begin, 2), round(value / whole * 100, 2), tone
        begin += value / whole * 100
