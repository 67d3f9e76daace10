"""The database schema: which migrations are applied, and applying them.

Apart from the app, because Alembic takes memory in every process that imports it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic.config import Config as AlembicConfig
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask
from flask_migrate import Migrate
from flask_migrate import downgrade as undo_migrations
from flask_migrate import upgrade as run_migrations

from flute_server.app import create_app
from flute_server.config import Config
from flute_server.models import db
from flute_server.sending import succession

MIGRATIONS = str(Path(__file__).parent / "migrations")


def upgrade(config: Config) -> None:
    """Bring the schema to the newest revision."""
    with _briefly(config):
        run_migrations(directory=MIGRATIONS)


def downgrade(config: Config, revision: str) -> None:
    """Take the schema back to a revision; `base` is an empty database."""
    with _briefly(config):
        undo_migrations(directory=MIGRATIONS, revision=revision)


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


def succeed(config: Config) -> bool:
    """Let the order of events go on in a PostgreSQL into which they were restored; whether it had to be."""
    with _briefly(config) as app:
        return succession.succeed(app)


@contextmanager
def _briefly(config: Config) -> Iterator[Flask]:
    """An app in its context, which leaves no connection open."""
    app = create_app(config)
    Migrate(app, db, directory=MIGRATIONS)
    with app.app_context():
        try:
            yield app
        finally:
            for engine in db.engines.values():
                engine.dispose()
