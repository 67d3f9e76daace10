"""What the last check of a provider account's credentials found"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("provider_account", sa.Column("check_time", sa.DateTime(timezone=True), nullable=True))
    for name in ("check_ok", "check_refused"):
        op.add_column(
            "provider_account", sa.Column(name, sa.Boolean(), server_default=sa.false(), nullable=False)
        )
    for name in ("check_text", "check_advice"):
        op.add_column("provider_account", sa.Column(name, sa.Text(), server_default="", nullable=False))


def downgrade() -> None:
    for name in ("check_time", "check_ok", "check_refused", "check_text", "check_advice"):
        op.drop_column("provider_account", name)
