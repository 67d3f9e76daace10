"""How many streams may be open: of an environment, of an account, and of all."""

from __future__ import annotations

import uuid
from contextlib import ExitStack

import pytest

from flute_server.errors import RateLimited
from flute_server.rpc.places import MOST, MOST_OF_ACCOUNT, MOST_OF_ENVIRONMENT, Places

A, B = uuid.uuid4(), uuid.uuid4()


@pytest.fixture
def opened():
    with ExitStack() as streams:
        yield streams


def test_an_environment_leaves_places_to_others_and_gets_its_own_back(opened: ExitStack):
    places, environment = Places(), uuid.uuid4()
    for _ in range(MOST_OF_ENVIRONMENT):
        opened.enter_context(places.one(environment, A))
    with pytest.raises(RateLimited, match=r"of this environment are open .*close one"):
        opened.enter_context(places.one(environment, A))
    opened.enter_context(places.one(uuid.uuid4(), A))
    opened.pop_all().close()
    with places.one(environment, A):
        pass


def test_an_account_cannot_take_all_places_with_many_environments(opened: ExitStack):
    places = Places()
    for _ in range(MOST_OF_ACCOUNT):
        opened.enter_context(places.one(uuid.uuid4(), A))
    with pytest.raises(RateLimited, match=r"of this account's environments are open .*close one"):
        opened.enter_context(places.one(uuid.uuid4(), A))
    opened.enter_context(places.one(uuid.uuid4(), B))


def test_whoever_has_no_stream_is_not_told_to_close_one(opened: ExitStack):
    places = Places()
    for _ in range(MOST):
        opened.enter_context(places.one(uuid.uuid4(), uuid.uuid4()))
    with pytest.raises(RateLimited, match=r"no place .*try again later, or use ListEvents") as refused:
        opened.enter_context(places.one(uuid.uuid4(), A))
    assert refused.value.reason == "TOO_MANY_STREAMS"
