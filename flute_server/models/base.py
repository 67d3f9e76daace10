"""The database handle and the column kinds that every table shares."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Connection,
    DateTime,
    Identity,
    MetaData,
    Text,
    Uuid,
    cast,
    text,
)
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.orm import DeclarativeBase, mapped_column
from sqlalchemy.types import UserDefinedType

# Names that Alembic can refer to on every engine.
NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}

Id = Annotated[uuid.UUID, mapped_column(Uuid, primary_key=True, default=uuid.uuid4)]
Serial = Annotated[int, mapped_column(BigInteger, Identity(always=True), primary_key=True)]
Time = Annotated[datetime, mapped_column(DateTime(timezone=True))]
Created = Annotated[datetime, mapped_column(DateTime(timezone=True), server_default=text("now()"))]
Str = Annotated[str, mapped_column(Text)]


class Xid8(UserDefinedType[str]):
    """PostgreSQL's 64-bit transaction id, as decimal text."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "xid8"

    def bind_expression(self, bindvalue: BindParameter[str]) -> ColumnElement[str]:
        return cast(bindvalue, self)


# So that a look at the database, as for a migration, knows the type.
PGDialect.ischema_names["xid8"] = Xid8


class Base(DeclarativeBase):
    """Root of all tables."""

    metadata = MetaData(naming_convention=NAMES)


# The bind whose connections are always in autocommit; see `autocommit`.
AUTOCOMMIT = "autocommit"

db = SQLAlchemy(model_class=Base)


def autocommit() -> Connection:
    """A connection on which each statement is a transaction of its own; to be used as a context manager.

    For the hot paths whose work is a single statement: it saves the round trips of BEGIN and COMMIT.
    """
    return db.engines[AUTOCOMMIT].connect()


def one_of(column: str, values: type[object]) -> str:
    """The check constraint that keeps a text column to the values of a StrEnum."""
    return f"{column} IN ({', '.join(repr(str(value)) for value in values)})"  # type: ignore[attr-defined]
