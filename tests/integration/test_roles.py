"""Every RPC lets in who may call it and nobody else, and shows nobody another account's things.

Both walk the contract by its descriptors: an RPC that is new is tested by what it says of itself. One that
takes more than ids to come as far as looking for them needs a line in EXTRAS.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from flute.v1 import account_service_pb2, api_key_service_pb2, drill_service_pb2, route_service_pb2
from flute.v1.annotations_pb2 import (
    ACCESS_ANYONE,
    ACCESS_OPERATOR,
    ACCESS_PERSON,
    ROLE_UNSPECIFIED,
    access,
    role,
)
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from tests.integration.people import MEMBER, Browser, People, refused
from tests.integration.test_isolation import ROWS, Things, caller, methods
from tests.rpc import details
from tests.stack import Stack

VIEWER, DEVELOPER, ADMIN, OWNER = range(1, 5)
# Why somebody may not call an RPC at all, whatever the request says.
SHUT = {
    "NO_SESSION",
    "NO_CREDENTIALS",
    "SERVICE_TOKEN_REQUIRED",
    "OPERATOR_REQUIRED",
    "ROLE_TOO_LOW",
    "NO_ACCOUNT",
}
# These change who the caller is, so they come last, in this order.
LAST = ("MemberService.LeaveAccount", "SessionService.LogOut")
# What a request has besides ids, so that these are looked for.
EXTRAS: Mapping[str, dict[str, Any]] = {
    "AccountService.UpdateAccount": {"updateMask": "name", "account": {"name": "x"}},
    "DrillService.CreateDrill": {"duration": "60s"},
    "EnvironmentService.CreateEnvironment": {"environment": {"name": "x", "domain": "x.example"}},
    "EnvironmentService.UpdateEnvironment": {"updateMask": "name", "environment": {"name": "x"}},
    "RouteService.UpdateRoute": {"updateMask": "enabled"},
    "MemberService.UpdateMember": {"updateMask": "role", "member": {"role": "ROLE_VIEWER"}},
    "MemberService.CreateInvitation": {"email": "x@people.example", "role": "ROLE_VIEWER"},
    "ProviderAccountService.CreateProviderAccount": {
        "providerAccount": {"provider": "postmark", "name": "x"}
    },
    "ApiKeyService.CreateApiKey": {"name": "x"},
}
# A field called `id` is of what the service is about.
IDS = {
    "AccountService": "account_id",
    "AlertService": "alert_id",
    "ApiKeyService": "api_key_id",
    "DrillService": "drill_id",
    "EnvironmentService": "environment_id",
    "MemberService": "invitation_id",
    "ProviderAccountService": "provider_account_id",
    "RouteService": "route_id",
}


@dataclass
class Cast:
    """Everybody who calls. stranger: the owner of another account; operator: a viewer of the first."""

    members: dict[int, Browser]
    operator: Browser
    stranger: Browser
    nobody: Browser
    things: Things
    ids: dict[str, str]


@pytest.fixture(scope="module")
def cast(running_stack: Stack) -> Iterator[Cast]:
    with grpc.insecure_channel(running_stack.grpc) as channel:
        tenant = running_stack.tenant("postmark")
        things = caller(running_stack, channel, tenant).things
        people = People(running_stack)
        people.first = Browser(people)  # whoever was first here, it was none of these
        members = {rank: join(people, tenant.account_id, rank) for rank in (VIEWER, DEVELOPER, ADMIN, OWNER)}
        operator = join(people, tenant.account_id, VIEWER)
        people.sql('UPDATE "user" SET operator = true WHERE email = %s', operator.email)
        ids = more_ids(people, things) | {"user_id": members[VIEWER].me().id}
        ids["invitation_id"] = members[OWNER].invite("somebody@people.example").invitation.id
        yield Cast(members, operator, people.person(), Browser(people), things, ids)


def join(people: People, account_id: str, rank: int) -> Browser:
    browser, client = Browser(people), people.client
    request = MEMBER.CreateInvitationRequest(account_id=account_id, email=browser.email, role=rank)  # type: ignore[arg-type]
    token = client.call(client.members.CreateInvitation, request).link.rpartition("/")[2]
    # This installation sends no mail: the link that is shown brings them in.
    browser.token = browser.sign_up(invitation_token=token).session_token
    assert not browser.me().confirmed
    people.sql('UPDATE "user" SET confirm_time = now() WHERE email = %s', browser.email)
    return browser


def more_ids(people: People, things: Things) -> dict[str, str]:
    """What an API key has no business with."""
    client, environment = people.client, things.environment_id
    keys = client.call(
        client.api_keys.ListApiKeys, api_key_service_pb2.ListApiKeysRequest(environment_id=environment)
    )
    routes = client.call(
        client.routes.ListRoutes, route_service_pb2.ListRoutesRequest(environment_id=environment)
    )
    ((alert,),) = people.sql(
        "INSERT INTO alert (id, account_id, kind, subject, text, count) "
        "VALUES (gen_random_uuid(), %s, 'review', 'x', 'x', 1) RETURNING id",
        things.account_id,
    )
    drill = drill_service_pb2.CreateDrillRequest(
        provider_account_id=things.provider_account_id, share=1, force=True
    )
    drill.duration.FromSeconds(60)
    drill_id = client.call(client.drills.CreateDrill, drill).id
    return {
        "drill_id": drill_id,
        "api_key_id": keys.api_keys[0].id,
        "route_id": routes.routes[0].id,
        "alert_id": str(alert),
    } | {name: getattr(things, name) for name in Things.__dataclass_fields__}


def outcome(browser: Browser, name: str, request: Message) -> tuple[grpc.StatusCode, str, str]:
    """How a call ends: its code, the reason, and all words."""
    method = methods()[name]
    path = f"/{method.containing_service.full_name}/{method.name}"
    channel: Any = browser.client._channel
    connect = channel.unary_stream if method.server_streaming else channel.unary_unary
    call = connect(path, type(request).SerializeToString, GetMessageClass(method.output_type).FromString)
    try:
        answer = browser.call(call, request)
        return grpc.StatusCode.OK, "", str(next(answer) if method.server_streaming else answer)
    except grpc.RpcError as raised:
        error: Any = raised
        return error.code(), details(error)[0], error.details()


def may(method: MethodDescriptor, rank: int, *, operator: bool, person: bool) -> bool:
    """What the contract says."""
    marks = method.GetOptions().Extensions
    if marks[access] == ACCESS_ANYONE:
        return True
    if marks[access] == ACCESS_PERSON:
        return person
    if marks[access] == ACCESS_OPERATOR:
        return operator
    return marks[role] != ROLE_UNSPECIFIED and rank >= marks[role]


def in_order() -> list[str]:
    return [*sorted(set(methods()) - set(LAST)), *LAST]


def test_every_rpc_lets_in_who_may_call_it_and_nobody_else(cast: Cast):
    who = [(f"role {rank}", browser, rank, False) for rank, browser in cast.members.items()]
    who += [("operator", cast.operator, VIEWER, True), ("logged out", cast.nobody, 0, False)]
    wrong = []
    for name in in_order():
        method = methods()[name]
        for title, browser, rank, operator in who:
            _, reason, words = outcome(browser, name, GetMessageClass(method.input_type)())
            if (reason not in SHUT) != may(method, rank, operator=operator, person=rank > 0):
                wrong.append(f"{name} by {title}: {reason} {words}")
    assert not wrong, "\n".join(wrong)


def test_nobody_signs_up_without_an_invitation_where_it_is_not_open(cast: Cast):
    with refused("SIGN_UP_CLOSED"):
        Browser(cast.nobody.people).sign_up()
    assert not cast.stranger.me().may_create_account
    with refused("SIGN_UP_CLOSED"):
        request = account_service_pb2.CreateOwnAccountRequest(name="x")
        cast.stranger.call(cast.stranger.client.accounts.CreateOwnAccount, request)


def with_roles() -> list[str]:
    """What people may call in an account, and what takes an id there."""
    return sorted(
        name
        for name, method in methods().items()
        if method.GetOptions().Extensions[role] and ids_of(name, method.input_type, {})
    )


def ids_of(name: str, message: Any, found: dict[str, str]) -> dict[str, Any]:
    """The request's fields that are ids, as JSON, each with the name of whose id it is."""
    filled: dict[str, Any] = {}
    for field in message.fields:
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            if field.message_type.file.package == "flute.v1" and not field.is_repeated:
                inner = ids_of(name, field.message_type, found)
                if inner:
                    filled[field.json_name] = inner
        elif field.name == "id":
            # A service whose `id` nobody knows needs a line in IDS, and one of its things in `more_ids`.
            filled["id"] = found[IDS[name.partition(".")[0]]] if found else "x"
        elif field.name.endswith("_id") and field.name != "request_id" and not field.is_repeated:
            filled[field.json_name] = found.get(field.name, "x")
    return filled


def request_of(name: str, cast: Cast, ids: dict[str, str], things: Things) -> Message:
    if name in ROWS:
        return ROWS[name].request(things)
    method = methods()[name]
    filled = ids_of(name, method.input_type, ids)
    for key, value in EXTRAS.get(name, {}).items():
        filled[key] = filled.get(key, {}) | value if isinstance(value, dict) else value
    return ParseDict(filled, GetMessageClass(method.input_type)())


@pytest.mark.parametrize("name", with_roles())
def test_nothing_of_another_account_is_found(cast: Cast, name: str):
    """Not even by its owner's peers: what is another's is answered as what never was."""
    never = {key: str(uuid.uuid4()) for key in cast.ids}
    things = Things(*(never[field] for field in Things.__dataclass_fields__))
    theirs = outcome(cast.stranger, name, request_of(name, cast, cast.ids, cast.things))
    unknown = outcome(cast.stranger, name, request_of(name, cast, never, things))
    assert theirs[0] in {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.PERMISSION_DENIED}, theirs
    assert theirs[1] not in SHUT
    assert theirs[:2] == unknown[:2]
    words = [text for _, _, text in (theirs, unknown)]
    for ids in (cast.ids, never):
        for value in ids.values():
            words = [text.replace(value, "ID") for text in words]
    assert words[0] == words[1]
