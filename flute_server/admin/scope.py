"""Whose rows a call may touch: set once per call, asked wherever a row is found by an id of the caller's."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# None: everybody's, for the operator's own programs and for what runs by itself.
_account: ContextVar[uuid.UUID | None] = ContextVar("account", default=None)

# Of a person who is in no account: nobody's rows.
NOBODY = uuid.UUID(int=0)


def limit(account_id: uuid.UUID | None) -> None:
    """From now on, what is found in this context belongs to the account; to any for None."""
    _account.set(account_id)


@contextmanager
def within(account_id: uuid.UUID | None) -> Iterator[None]:
    """What is found inside this block belongs to the account; to any for None."""
    token = _account.set(account_id)
    try:
        yield
    finally:
        _account.reset(token)


def allows(account_id: uuid.UUID) -> bool:
    """Whether rows of this account may be touched."""
    return _account.get() in {None, account_id}


def own_account() -> uuid.UUID | None:
    """The only account whose rows may be touched; None for any."""
    return _account.get()
