"""How Alembic reaches the database: through the app context that Flask-Migrate opens."""

from __future__ import annotations

from alembic import context
from sqlalchemy import text

from flute_server.models import db

# A migration that waits for a lock holds up everybody behind it, so it gives up early.
LOCK_TIMEOUT = "4s"


def run() -> None:
    with db.engine.connect() as connection:
        connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
        connection.commit()
        context.configure(connection=connection, target_metadata=db.metadata, compare_type=True)
        with context.begin_transaction():
            context.run_migrations()


run()
