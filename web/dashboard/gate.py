"""Forms that are not shown to whom they would be of no use. What happens, the server decides all the same."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from flask import request
from flask.typing import ResponseReturnValue

from web.dashboard.me import ROLES, me
from web.errors import Problem

P = ParamSpec("P")
_View = Callable[P, ResponseReturnValue]


def takes_role(role: str) -> Callable[[_View[P]], _View[P]]:
    """For the view of a form: a page says so to who has less than the role."""

    def guarded(view: _View[P]) -> _View[P]:
        @wraps(view)
        def guard(*args: P.args, **kwargs: P.kwargs) -> ResponseReturnValue:
            if request.method == "GET" and me().role < ROLES[role]:
                text = f"this takes the role {role}; ask an owner or admin of the account for it"
                raise Problem(403, "permission_denied", text)
            return view(*args, **kwargs)

        return guard

    return guarded
