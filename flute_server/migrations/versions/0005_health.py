"""How provider accounts and the installation fare"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("pause_time", "last_event_time", "rejected_time"):
        op.add_column("provider_account", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    op.add_column(
        "provider_account", sa.Column("rejected_reason", sa.Text(), server_default="", nullable=False)
    )


def downgrade() -> None:
    for name in ("rejected_reason", "rejected_time", "last_event_time", "pause_time"):
        op.drop_column("provider_account", name)
