"""The composition root: a configured app whose context gives RPCs and jobs their database session."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic.config import Config as AlembicConfig
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask
from flask_migrate import Migrate
from flask_migrate import upgrade as run_migrations

from flute_server.config import Config
from flute_server.models import AUTOCOMMIT, db

MIGRATIONS = str(Path(__file__).parent / "migrations")


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
    Migrate(app, db, directory=MIGRATIONS)
    return app


def upgrade(config: Config) -> None:
    """Bring the schema to the newest revision."""
    with _briefly(config):
        run_migrations(directory=MIGRATIONS)


def pending_migrations(config: Config) -> list[str]:
    """The revisions that `flute migrate` would apply, oldest first."""
    alembic = AlembicConfig()
    alembic.set_main_option("script_location", MIGRATIONS)
    script = ScriptDirectory.from_config(alembic)
    with _briefly(config), db.engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_heads()
    lower = current[0] if current else "base"
    newer = script.iterate_revisions("heads", lower)
    return [revision.revision for revision in newer if revision.revision not in current][::-1]


@contextmanager
def _briefly(config: Config) -> Iterator[None]:
    """An app context that leaves no connection open."""
    with create_app(config).app_context():
        try:
            yield
        finally:
            for engine in db.engines.values():
                engine.dispose()


def _psycopg(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"postgresql+psycopg://{rest}" if scheme in {"postgres", "postgresql"} else url


def _engine_options(config: Config) -> dict[str, Any]:
    return {
        "pool_size": config.grpc_threads,
        "max_overflow": 2,
        "pool_timeout": 5,
        "connect_args": {"connect_timeout": 5, "application_name": "flute"},
    }
