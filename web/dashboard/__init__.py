"""The dashboard: pages for people, and a thin gRPC client like the JSON API."""

from __future__ import annotations

from flask import Blueprint, Flask

from web.config import WebConfig
from web.dashboard import assets, guard, provider_state, show

dashboard = Blueprint("dashboard", __name__, template_folder="templates")
guard.surround(dashboard)

from web.dashboard import pages  # noqa: E402, F401 (they register on the blueprint above)


def register(app: Flask, config: WebConfig) -> None:
    """Add the pages to the app, with their sessions, their protection and their look."""
    guard.register(app, config)
    assets.register(app)
    show.register(app)
    app.add_template_filter(provider_state.pill, "provider_pill")
    app.register_blueprint(dashboard)
