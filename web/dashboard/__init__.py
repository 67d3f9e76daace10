"""The dashboard: pages for people, and a thin gRPC client like the JSON API."""

from __future__ import annotations

from flask import Blueprint, Flask

from web.config import WebConfig
from web.dashboard import guard

dashboard = Blueprint("dashboard", __name__, template_folder="templates")

from web.dashboard import pages  # noqa: E402, F401 (they register on the blueprint above)


def register(app: Flask, config: WebConfig) -> None:
    """Add the pages to the app, with their sessions and their protection."""
    guard.register(app, dashboard, config)
    app.register_blueprint(dashboard)
