"""Where each call of a webhook went"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Empty for calls from before; where those went is not known.
    op.add_column("webhook_try", sa.Column("url", sa.Text(), server_default="", nullable=False))


def downgrade() -> None:
    op.drop_column("webhook_try", "url")
