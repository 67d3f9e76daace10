"""Ask a provider what became of a mail whose answer was lost, where it can be asked."""

from __future__ import annotations

from datetime import timedelta

from flute_server.providers.base import Trace
from flute_server.providers.registry import PROVIDERS
from flute_server.sending.claim import Held
from flute_server.sending.connections import Connections
from flute_server.sending.outcomes import Inquiry, hold_on
from flute_server.sending.record import Writes
from flute_server.sending.routing import Routing
from flute_server.sending.simulate import Simulator
from flute_server.sending.task import Task

# Longer than any environment may wait; a provider that cannot be asked settles never.
LONGEST_HOLD = timedelta(days=30)


def inquiries(
    task: Task,
    held: list[tuple[int, Held]],
    routing: Routing,
    connections: Connections,
    writes: Writes,
) -> list[Inquiry]:
    """The questions to ask now about held recipients; the others go on being held.

    Each counts as a call of the task's from now on.
    """
    routes = {route.account_id: route for route in routing.routes}
    found: list[Inquiry] = []
    for row_id, item in held:
        route = routes.get(item.account_id)
        if route is None:
            hold_on(task, item, routing.policy, writes)
            continue
        provider = (
            Simulator({})
            if task.test or PROVIDERS[route.provider].simulated
            else connections.get(route.account_id, route.revision, route.provider, route.credentials)
        )
        settles_in = provider.look_up_settles - (writes.now - item.start)
        if settles_in > timedelta(0):
            hold_on(task, item, routing.policy, writes, ask=min(settles_in, LONGEST_HOLD))
            continue
        trace = Trace(
            attempt_id=str(item.attempt_id),
            email_id=str(task.email_id),
            recipients=(task.pending[row_id].recipient.address.email,),
            subject=task.message.subject,
            start_time=item.start,
            provider_message_id=item.provider_message_id,
        )
        task.calls += 1
        found.append(Inquiry(task, routing.policy, item, row_id, provider, trace))
    return found
