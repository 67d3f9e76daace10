"""The API keys of an environment: who may send with it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue
from flute.v1.api_key_service_pb2 import (
    API_KEY_KIND_LIVE,
    API_KEY_KIND_TEST,
    API_KEY_SCOPE_MANAGE,
    API_KEY_SCOPE_READ,
    API_KEY_SCOPE_SEND,
    ApiKey,
    CreateApiKeyRequest,
    CreateApiKeyResponse,
    GetApiKeyRequest,
    ListApiKeysRequest,
    ListApiKeysResponse,
    RevokeApiKeyRequest,
    RotateApiKeyRequest,
)
from flute.v1.environment_service_pb2 import Environment
from flute.v1.limit_pb2 import RateLimit
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from web.dashboard import curl, dashboard
from web.dashboard.act import act
from web.dashboard.ask import ask
from web.dashboard.form import Form
from web.dashboard.gate import takes_role
from web.dashboard.me import me
from web.dashboard.pages.environments import environment_of, environment_page
from web.dashboard.places import base_url

_PAGE_SIZE = 50
_UNUSED = timedelta(days=30)
_SCOPES = {"send": API_KEY_SCOPE_SEND, "read": API_KEY_SCOPE_READ, "manage": API_KEY_SCOPE_MANAGE}
_SCOPE_NAMES = {value: name for name, value in _SCOPES.items()}
_KINDS = {"live": API_KEY_KIND_LIVE, "test": API_KEY_KIND_TEST}
_NAMES = {"rate_limit": "per_second", "rate_limit.per_second": "per_second", "expire_time": "expires"}
# What a test key sends there is played as delivered.
_SIMULATED = "delivered@simulator.flute.test"


@dashboard.get("/environments/<id_>/keys")
def environment_keys(id_: str) -> ResponseReturnValue:
    """What each may do, and whether it is still needed."""
    after = request.args.get("after", "")
    message = ListApiKeysRequest(environment_id=id_, page_size=_PAGE_SIZE, page_token=after)
    told = ask(message, ListApiKeysResponse)
    here, following = url_for("dashboard.environment_keys", id_=id_), told.next_page_token
    return environment_page(
        "keys.html",
        environment_of(id_),
        "keys",
        keys=told.api_keys,
        state=_state,
        use=_use,
        scopes=lambda key: [_SCOPE_NAMES[scope] for scope in key.scopes if scope in _SCOPE_NAMES],
        is_test=lambda key: key.kind == API_KEY_KIND_TEST,
        next_url=f"{here}?after={following}" if following else "",
        first_url=here if after else "",
    )


@dashboard.route("/environments/<id_>/keys/new", methods=["GET", "POST"])
@takes_role("developer")
def new_key(id_: str) -> ResponseReturnValue:
    """The secret is in the answer to the POST, and nowhere else."""
    environment = environment_of(id_)
    if request.method == "GET":
        form, scopes = Form({"kind": "live"}), ["send", "read"]
        return environment_page("new_key.html", environment, "keys", form=form, scopes=scopes)
    form, scopes = Form.of(_NAMES), request.form.getlist("scopes")
    if not scopes:
        form.errors["scopes"] = "Choose what the key may do."
    if made := form.send(_request(form, id_, scopes), CreateApiKeyResponse):
        return _show_once(environment, made)
    return environment_page("new_key.html", environment, "keys", form=form, scopes=scopes), form.status


@dashboard.route("/environments/<id_>/keys/<key_id>/rotate", methods=["GET", "POST"])
@takes_role("developer")
def rotate_key(id_: str, key_id: str) -> ResponseReturnValue:
    """Another secret for the same rights; the old one works on until apps have the new one."""
    environment, form = environment_of(id_), Form.of(overlap="24")
    if request.method == "POST":
        message = RotateApiKeyRequest(
            id=key_id, overlap=Duration(seconds=form.number("overlap", most=10_000) * 3600)
        )
        if made := form.send(message, CreateApiKeyResponse):
            return _show_once(environment, made, replaces=True)
    key = ask(GetApiKeyRequest(id=key_id), ApiKey)
    return environment_page("rotate_key.html", environment, "keys", form=form, key=key), form.status


@dashboard.post("/environments/<id_>/keys/<key_id>/revoke")
def revoke_key(id_: str, key_id: str) -> ResponseReturnValue:
    """At once and for good."""
    act(RevokeApiKeyRequest(id=key_id), ApiKey, "The key is revoked: it stopped working.")
    return redirect(url_for("dashboard.environment_keys", id_=id_), 303)


def _request(form: Form, id_: str, scopes: list[str]) -> CreateApiKeyRequest:
    per_second, days = form.number("per_second"), form.number("expires", most=3650)
    message = CreateApiKeyRequest(
        environment_id=id_,
        name=form["name"],
        kind=_KINDS.get(form["kind"], API_KEY_KIND_LIVE),
        scopes=[_SCOPES[name] for name in scopes if name in _SCOPES],
        rate_limit=RateLimit(per_second=per_second) if per_second else None,
    )
    if days:
        message.expire_time.FromDatetime(datetime.now(UTC) + timedelta(days=days))
    return message


def _show_once(environment: Environment, made: CreateApiKeyResponse, replaces: bool = False) -> str:
    return environment_page(
        "key_made.html",
        environment,
        "keys",
        key=made.api_key,
        secret=made.access_token,
        command=_command(environment, made),
        replaces=replaces,
    )


def _command(environment: Environment, made: CreateApiKeyResponse) -> str:
    """The first thing to do with the key."""
    if API_KEY_SCOPE_SEND not in made.api_key.scopes:
        url = f"{base_url()}/v1/email?page_size=5"
        return curl.read(url, made.access_token) if API_KEY_SCOPE_READ in made.api_key.scopes else ""
    to = _SIMULATED if made.api_key.kind == API_KEY_KIND_TEST else me().email
    return curl.send(base_url(), curl.hello(environment.domain, to), made.access_token)


def _state(key: ApiKey) -> str:
    """Revoked, expired or active."""
    if key.HasField("revoke_time"):
        return "revoked"
    return (
        "expired" if key.HasField("expire_time") and _time(key.expire_time) <= datetime.now(UTC) else "active"
    )


def _use(key: ApiKey) -> str:
    """What to think of how it is used: "", never or unused."""
    if not key.HasField("last_used_time"):
        return "never"
    return "unused" if datetime.now(UTC) - _time(key.last_used_time) > _UNUSED else ""


def _time(given: Timestamp) -> datetime:
    return given.ToDatetime(UTC)
