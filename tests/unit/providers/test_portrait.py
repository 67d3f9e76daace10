"""What providers say of themselves: the same list for each, and true to their declarations."""

from __future__ import annotations

import pytest

from flute_server.providers.base import Provider
from flute_server.providers.portrait import Trait, portrait
from flute_server.providers.postmark import Postmark
from flute_server.providers.registry import PROVIDERS
from flute_server.providers.smtp import Smtp


def traits(kind: type[Provider]) -> dict[str, Trait]:
    return {trait.name: trait for trait in portrait(kind)}


@pytest.mark.parametrize("kind", PROVIDERS.values(), ids=list(PROVIDERS))
def test_each_tells_the_same_things_in_the_same_order(kind: type[Provider]):
    told = traits(kind)
    assert list(told) == list(traits(Postmark))
    assert told["webhooks"].supported == kind.webhooks
    assert told["tracking"].supported == kind.capabilities.tracking
    assert told["tags"].supported == (kind.capabilities.max_tags > 0)
    assert told["look_up"].supported == (kind.look_up is not Provider.look_up)
    assert all(trait.text for trait in told.values())
    assert kind.about.endswith(".")


def test_postmark_in_words():
    told = traits(Postmark)
    assert told["size"].text == "takes mail of up to 10 MB, attachments included"
    assert told["recipients"].text == "takes up to 50 recipients a call"
    assert told["tags"].text == "gets the first tag of a mail, each up to 1000 bytes"
    assert told["look_up"].text == "can be asked whether it has a mail, for certain after 5 minutes"


def test_smtp_in_words():
    told = traits(Smtp)
    assert told["webhooks"].text == "posts nothing: bounces come by mail, where a bounce domain is set"
    assert "another route" in told["tracking"].text
