"""The public JSON API. Importing a module here adds its routes to the blueprint."""

from __future__ import annotations

from flask import Blueprint

api = Blueprint("api", __name__)

from web.api import calls, email, health, suppressions, webhooks  # noqa: E402, F401 (they register on the blueprint above)

calls.register(api)
