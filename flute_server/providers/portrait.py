"""What a provider can do, in sentences for those who choose one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from flute_server.domain.capability import Capabilities
from flute_server.providers.base import NEVER, Provider
from flute_server.providers.http import RESERVED_HEADERS

MEGABYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Trait:
    """One thing that a provider can do or not. name: stable, for programs; text: what that means."""

    name: str
    supported: bool
    text: str


def portrait(kind: type[Provider]) -> Iterator[Trait]:
    """Everything worth knowing before mail is routed through it, from its declarations."""
    able = kind.capabilities
    yield Trait("size", True, f"takes mail of up to {able.max_bytes / MEGABYTE:.0f} MB, attachments included")
    yield Trait("recipients", True, f"takes up to {able.max_recipients:,} recipients a call")
    yield _trait(
        "inline_files",
        able.names_inline_files,
        "shows inline files under their own names",
        "shows inline files, under their content ids instead of their names",
    )
    yield _headers(able)
    yield _tags(able)
    yield Trait("metadata", False, "gets no metadata: Flute keeps it, and tells it with each event")
    yield from _switches(able)
    yield from _feedback(kind)


def _trait(name: str, supported: bool, yes: str, no: str) -> Trait:
    return Trait(name, supported, yes if supported else no)


def _headers(able: Capabilities) -> Trait:
    # What every mail has anyway goes without saying.
    names = [*sorted(able.forbidden_headers - RESERVED_HEADERS)]
    names += [f"{start}*" for start in able.forbidden_header_prefixes]
    but = f", but for {', '.join(names)}" if names else ""
    return Trait("headers", True, f"carries header fields of your own{but}")


def _tags(able: Capabilities) -> Trait:
    if not able.max_tags:
        return Trait("tags", False, "gets no tags: Flute keeps them, and counts by them")
    plain = " in ASCII" if able.ascii_tags else ""
    many = f"the first {able.max_tags} tags" if able.max_tags > 1 else "the first tag"
    return Trait("tags", True, f"gets {many} of a mail, each up to {able.tag_octets} bytes{plain}")


def _switches(able: Capabilities) -> Iterator[Trait]:
    yield _trait(
        "tracking",
        able.tracking,
        "can tell of opens and clicks",
        "cannot tell of opens and clicks: tracked mail takes another route",
    )
    yield _trait(
        "multiple_reply_to",
        able.multiple_reply_to,
        "takes several Reply-To addresses",
        "takes one Reply-To address: mail with several takes another route",
    )
    for name, who in (("internationalized_sender", "sender"), ("internationalized_recipient", "recipient")):
        yield _trait(
            name,
            bool(getattr(able, name)),
            f"takes {who} addresses with letters outside ASCII before the @",
            f"takes no {who} address with letters outside ASCII before the @: such mail takes another route",
        )
    yield _trait(
        "separates_envelope",
        able.separates_envelope,
        "names all in To and Cc, also where it gets the mail for some of them alone",
        "names only those in To and Cc for whom it gets the mail",
    )


def _feedback(kind: type[Provider]) -> Iterator[Trait]:
    by_mail = any(field.name == "bounce_domain" for field in kind.fields)
    yes = "posts what becomes of its mail, and proves that it is the one who posts"
    no = "posts nothing: bounces come by mail, where a bounce domain is set" if by_mail else "posts nothing"
    yield _trait("webhooks", kind.webhooks, yes, no)
    settles = kind.look_up_settles
    yield _trait(
        "look_up",
        settles < NEVER,
        f"can be asked whether it has a mail, for certain after {_minutes(settles)}",
        "cannot be asked whether it has a mail: what is not known is decided by the environment's policy",
    )
    yield _trait(
        "idempotent",
        kind.capabilities.idempotent,
        "recognizes a call that it gets twice",
        "does not recognize a call that it gets twice",
    )


def _minutes(span: timedelta) -> str:
    minutes = span // timedelta(minutes=1)
    return f"{minutes} minute{'s' * (minutes != 1)}" if minutes else f"{span.seconds} seconds"
