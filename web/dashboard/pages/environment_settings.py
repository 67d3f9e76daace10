"""The settings of an environment, and its end."""

from __future__ import annotations

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue
from flute.v1.environment_service_pb2 import (
    AMBIGUITY_POLICY_RESEND,
    AMBIGUITY_POLICY_WAIT,
    DELAY_POLICY_RESEND,
    DELAY_POLICY_WAIT,
    DeleteEnvironmentRequest,
    Environment,
    UpdateEnvironmentRequest,
)
from flute.v1.limit_pb2 import RateLimit
from google.protobuf.empty_pb2 import Empty

from web.dashboard import dashboard, spans
from web.dashboard.act import act
from web.dashboard.form import Form
from web.dashboard.pages.environments import environment_of, environment_page
from web.dashboard.render import say

_AMBIGUOUS = {"resend": AMBIGUITY_POLICY_RESEND, "wait": AMBIGUITY_POLICY_WAIT}
_DELAYED = {"wait": DELAY_POLICY_WAIT, "resend": DELAY_POLICY_RESEND}
_FIELDS = (
    "name",
    "allow_subdomains",
    "on_ambiguous",
    "ambiguity_wait",
    "give_up_after",
    "on_delay",
    "rate_limit",
    "monthly_quota",
    "one_click_unsubscribe",
    "retention_days",
    "track_opens",
    "track_clicks",
)
_BOXES = ("allow_subdomains", "one_click_unsubscribe", "track_opens", "track_clicks")
# The server speaks of the limit as one; the page has a field for each of its parts.
_NAMES = {
    "environment.rate_limit": "per_second",
    "environment.rate_limit.per_second": "per_second",
    "environment.rate_limit.burst": "burst",
}


@dashboard.route("/environments/<id_>/settings", methods=["GET", "POST"])
def environment_settings(id_: str) -> ResponseReturnValue:
    """Everything that can be changed but routes and keys. Only what differs is sent."""
    environment = environment_of(id_)
    form = Form.of(_NAMES) if request.method == "POST" else Form(_values(environment))
    if request.method == "POST":
        wanted = _wanted(form, id_)
        changed = [name for name in _FIELDS if getattr(wanted, name) != getattr(environment, name)]
        message = UpdateEnvironmentRequest(environment=wanted)
        message.update_mask.paths.extend(changed)
        if not changed and not form.failed:
            say("Nothing was changed.", "info")
            return redirect(url_for("dashboard.environment_settings", id_=id_), 303)
        if form.send(message, Environment):
            say("The settings are saved. They count for new mail from now on.")
            return redirect(url_for("dashboard.environment_settings", id_=id_), 303)
    return environment_page("settings.html", environment, "settings", form=form), form.status


@dashboard.post("/environments/<id_>/delete")
def delete_environment(id_: str) -> ResponseReturnValue:
    """With its routes and keys, as long as it has no mail whose story would be lost."""
    if act(DeleteEnvironmentRequest(id=id_), Empty, "The environment is deleted."):
        return redirect(url_for("dashboard.environments"), 303)
    return redirect(url_for("dashboard.environment_settings", id_=id_), 303)


def _wanted(form: Form, id_: str) -> Environment:
    per_second, burst = form.number("per_second"), form.number("burst")
    return Environment(
        id=id_,
        name=form["name"],
        on_ambiguous=_AMBIGUOUS.get(form["on_ambiguous"], AMBIGUITY_POLICY_RESEND),
        ambiguity_wait=spans.read(form, "ambiguity_wait"),
        give_up_after=spans.read(form, "give_up_after"),
        on_delay=_DELAYED.get(form["on_delay"], DELAY_POLICY_WAIT),
        rate_limit=RateLimit(per_second=per_second, burst=burst) if per_second or burst else None,
        monthly_quota=form.number("monthly_quota", most=10**12),
        retention_days=form.number("retention_days"),
        allow_subdomains=form.checked("allow_subdomains"),
        one_click_unsubscribe=form.checked("one_click_unsubscribe"),
        track_opens=form.checked("track_opens"),
        track_clicks=form.checked("track_clicks"),
    )


def _values(environment: Environment) -> dict[str, str]:
    """The settings as the fields show them."""
    ticked = {name: "1" for name in _BOXES if getattr(environment, name)}
    return ticked | {
        "name": environment.name,
        "on_ambiguous": "wait" if environment.on_ambiguous == AMBIGUITY_POLICY_WAIT else "resend",
        "on_delay": "resend" if environment.on_delay == DELAY_POLICY_RESEND else "wait",
        **spans.split("ambiguity_wait", environment.ambiguity_wait.seconds),
        **spans.split("give_up_after", environment.give_up_after.seconds),
        "per_second": str(environment.rate_limit.per_second or ""),
        "burst": str(environment.rate_limit.burst or ""),
        "monthly_quota": str(environment.monthly_quota or ""),
        "retention_days": str(environment.retention_days or ""),
    }
