"""The order of routes as a page sends it: ids, `+` between those of one position, `,` between positions."""

from __future__ import annotations

from collections.abc import Sequence

Ranks = list[list[str]]


def written(ranks: Sequence[Sequence[str]]) -> str:
    """As the page keeps it."""
    return ",".join("+".join(rank) for rank in ranks)


def read(order: str) -> Ranks:
    """As it was written; what is no order comes out as one that the server refuses."""
    return [rank.split("+") for rank in order.split(",") if rank]


def moved(ranks: Ranks, move: str) -> Ranks:
    """After one button: up:N, down:N and join:N are about the rank at N, part:ID about a route.

    What cannot be moved so stays where it is.
    """
    what, _, where = move.partition(":")
    if what == "part":
        return _parted(ranks, where)
    at = int(where) if where.isdecimal() else -1
    if what == "down":
        at, what = at + 1, "up"
    if not 0 < at < len(ranks):
        return ranks
    before, one, other, after = ranks[: at - 1], ranks[at - 1], ranks[at], ranks[at + 1 :]
    match what:
        case "up":
            return [*before, other, one, *after]
        case "join":
            return [*before, [*one, *other], *after]
    return ranks


def next_move(move: str) -> str:
    """What would move the same rank on in the same direction: up:2 -> up:1. Empty after other moves."""
    what, _, where = move.partition(":")
    if what not in {"up", "down"} or not where.isdecimal():
        return ""
    return f"{what}:{max(0, int(where) + (1 if what == 'down' else -1))}"


def _parted(ranks: Ranks, route_id: str) -> Ranks:
    """The route gets a rank of its own, after those with which it shared one."""
    changed: Ranks = []
    for rank in ranks:
        rest = [id_ for id_ in rank if id_ != route_id]
        changed += [rest, [route_id]] if rest and len(rest) < len(rank) else [rank]
    return changed
