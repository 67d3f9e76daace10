"""The composition root: a configured app whose context gives RPCs and jobs their database session."""

from __future__ import annotations

from typing import Any

from flask import Flask

from flute_server.config import Config
from flute_server.models import AUTOCOMMIT, db


def create_app(config: Config) -> Flask:
    """The app of one process. Its engine connects lazily, so it may be made before a fork."""
    app = Flask(__name__)
    app.config["FLUTE"] = config
    url, options = _psycopg(config.database_url), _engine_options(config)
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = options
    autocommit = {"isolation_level": "AUTOCOMMIT", "skip_autocommit_rollback": True}
    app.config["SQLALCHEMY_BINDS"] = {AUTOCOMMIT: {"url": url, **options, **autocommit}}
    db.init_app(app)
    return app


def _psycopg(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"postgresql+psycopg://{rest}" if scheme in {"postgres", "postgresql"} else url


def _engine_options(config: Config) -> dict[str, Any]:
    return {
        "pool_size": config.grpc_threads,
        "max_overflow": 2,
        "pool_timeout": 5,
        # An error names its statement, also in the log; the values may be somebody's mail.
        "hide_parameters": True,
        "connect_args": {"connect_timeout": 5, "application_name": "flute"},
    }
