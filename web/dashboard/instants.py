"""Points in time as people type them, in kit.time_field: in the viewer's zone, and sent in UTC."""

from __future__ import annotations

from datetime import UTC, datetime

from web.dashboard.form import Form


def parse(text: str) -> datetime | None:
    """The time in UTC, which is meant where no zone is given; none for what is no time."""
    try:
        given = datetime.fromisoformat(text)
        return (given if given.tzinfo else given.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def of_sentence(text: str) -> datetime | None:
    """A time as the server writes it into sentences: 2026-11-30 17:00:05, or 30 Nov 2026 at 17:00."""
    plain = text.replace(" at ", " ")
    day = "%d %b %Y" if " " in plain[:4] else "%Y-%m-%d"
    clock = "%H:%M:%S" if plain.count(":") > 1 else "%H:%M"
    try:
        return datetime.strptime(plain, f"{day} {clock}").replace(tzinfo=UTC)
    except ValueError:
        return None


def read(form: Form, name: str) -> datetime | None:
    """What was typed into the field; what is no time becomes its error."""
    if not form[name]:
        return None
    found = parse(form[name])
    if found is None:
        form.errors[name] = "Write a date and a time of day, for example 2026-11-30T17:00."
    return found


def field_value(text: str) -> str:
    """For the field of the browser, in UTC and without saying so; seconds only where there are some."""
    time = parse(text)
    if time is None:
        return ""
    return time.strftime("%Y-%m-%dT%H:%M:%S" if time.second else "%Y-%m-%dT%H:%M")
