"""Take mail in: all checks, then one transaction; what it answers is durable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from flute_server import addresses
from flute_server.domain import simulation
from flute_server.domain.limits import MAX_BATCH, MAX_CONTENT_BYTES
from flute_server.domain.message import Message
from flute_server.domain.validation import Fault, content_bytes, faults, send_at_fault
from flute_server.errors import FailedPrecondition, FluteError, PermissionDenied, Violation, invalid
from flute_server.sending import idempotency
from flute_server.sending.answer import Answer, Problem
from flute_server.sending.senders import Sender
from flute_server.sending.store import Draft, Origin, store

MAX_VIOLATIONS = 50
_NOBODY = Origin()


def accept(sender: Sender, draft: Draft, origin: Origin = _NOBODY) -> Answer:
    """Check the mail and store it; when this returns, it is durable.

    Raises InvalidArgument with every fault, PermissionDenied for a foreign FROM domain, FailedPrecondition
    while the environment has no route, AlreadyExists or Aborted where the call's key is taken.
    """
    if known := idempotency.recall(sender.environment_id, origin.once):
        return known
    check(sender, draft, datetime.now(UTC))
    check_routes(sender)
    return store(sender, [draft], origin)


def accept_batch(sender: Sender, drafts: Sequence[Draft], origin: Origin = _NOBODY) -> Answer:
    """Check each mail by itself, and store those that are well together.

    Raises InvalidArgument for a batch that is too large, else as `accept` does for what concerns all of them.
    """
    if known := idempotency.recall(sender.environment_id, origin.once):
        return known
    _check_size(drafts)
    check_routes(sender)
    now = datetime.now(UTC)
    return store(sender, [_checked(sender, draft, now) for draft in drafts], origin)


def check(sender: Sender, draft: Draft, now: datetime) -> None:
    """Raises InvalidArgument or PermissionDenied, as `accept` does."""
    found = [
        Violation(f"content.{path}", text) for path, text in faults(draft.message, addresses.why_invalid)
    ]
    found += [Violation(f"content.{path}", text) for path, text in simulator_faults(sender, draft.message)]
    if why := send_at_fault(draft.send_at, now):
        found.append(Violation("content.send_at", why))
    if found:
        raise invalid(found[:MAX_VIOLATIONS])
    check_domain(sender, draft.message.sender.domain)


def simulator_faults(sender: Sender, message: Message) -> Iterator[Fault]:
    """What is wrong with addresses where outcomes are played, as (path, text)."""
    for kind in ("to", "cc", "bcc"):
        for index, address in enumerate(getattr(message, kind)):
            if why := simulation.fault(address.email, test=sender.test):
                yield f"{kind}[{index}].email", why


def check_routes(sender: Sender) -> None:
    """Raises FailedPrecondition while nothing could ever be sent."""
    if not sender.has_routes:
        raise FailedPrecondition(
            "NO_ROUTES", "the environment has no provider yet; add a route to it, then send again"
        )


def check_domain(sender: Sender, domain: str) -> None:
    """Raises PermissionDenied when the environment does not send from this domain."""
    domain = domain if domain.isascii() else addresses.domain_of(domain)
    if domain == sender.domain:
        return
    if sender.allow_subdomains and domain.endswith(f".{sender.domain}"):
        return
    text = (
        f"the environment sends from {sender.domain}, not from {domain}; send from {sender.domain}, or use "
        f"the key of an environment for {domain}"
    )
    raise PermissionDenied("FROM_DOMAIN_MISMATCH", text, [Violation("content.from.email", text)])


def _check_size(drafts: Sequence[Draft]) -> None:
    if not 1 <= len(drafts) <= MAX_BATCH:
        raise invalid([Violation("emails", f"{len(drafts)} mails; 1 to {MAX_BATCH} in a batch")])
    total = sum(content_bytes(draft.message) for draft in drafts)
    if total > MAX_CONTENT_BYTES:
        text = f"{total:,} bytes in all; at most {MAX_CONTENT_BYTES:,}, bodies and attachments together"
        raise invalid([Violation("emails", text)])


def _checked(sender: Sender, draft: Draft, now: datetime) -> Draft | Problem:
    try:
        check(sender, draft, now)
    except FluteError as error:
        return Problem.of(error)
    return draft
