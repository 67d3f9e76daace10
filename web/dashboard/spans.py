"""Times as people enter them: a number and its unit, in two fields, `name` and `name_unit`."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration

from web.dashboard.form import Form

UNITS = {"minutes": 60, "hours": 3600, "days": 86400}


def split(name: str, seconds: int) -> dict[str, str]:
    """Both fields, in the largest unit in which it is a whole number."""
    unit = next((unit for unit in reversed(UNITS) if seconds % UNITS[unit] == 0), "minutes")
    return {name: str(seconds // UNITS[unit]), f"{name}_unit": unit}


def read(form: Form, name: str) -> Duration:
    """What both fields say; what is no number becomes an error of the first."""
    if not form[name]:
        form.errors[name] = "Enter a number."
    return Duration(seconds=form.number(name) * UNITS.get(form[f"{name}_unit"], 60))
