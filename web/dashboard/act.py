"""What a single button does: a call, and a word about how it went on the page that follows."""

from __future__ import annotations

import grpc
from google.protobuf.message import Message

from web.client import RpcFailure
from web.dashboard.ask import ask
from web.dashboard.render import say
from web.dashboard.words import sentence

# What people can do something about on the page that they come back to.
MENDABLE = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.ABORTED,
    }
)


def act(message: Message, answer: type[Message], good: str) -> bool:
    """Whether it was done; says `good`, or why not. Raises RpcFailure for what has a page of its own."""
    try:
        ask(message, answer)
    except RpcFailure as failure:
        if failure.code not in MENDABLE:
            raise
        for text in [violation.description for violation in failure.violations] or [failure.message]:
            say(sentence(text), "bad")
        return False
    say(good)
    return True
