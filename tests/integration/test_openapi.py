"""The OpenAPI document: valid, whole, true to the contract and to the server, with examples that hold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from flute_server.admin.webhook_endpoints import MAX_ENDPOINTS
from flute_server.domain import limits
from flute_server.domain.simulation import NAMES
from flute_server.domain.suppression_csv import MAX_BYTES, MAX_LINES
from flute_server.domain.webhook import EVENT_TYPES, WAITS_S, Told, body, headers, secret_words
from flute_server.domain.webhook import TEST as SERVERS_TEST
from tests.integration.web_script import EMAIL_ID
from web import create_app
from web.api.operations import operations
from web.config import WebConfig
from web.reference.document import document
from web.reference.events import EVENTS, TEST
from web.reference.facts import FACTS
from web.reference.guides import chapters
from web.reference.problems import KINDS

DOCUMENT = document()
METHODS = {"get", "post", "patch", "delete"}

# What nobody but providers, mail servers, load balancers and recipients calls, and the reference itself.
NOT_FOR_APPS = {"/v1/webhooks/", "/v1/bounces", "/healthz", "/docs", "/openapi.json", "/unsubscribe"}


@pytest.fixture(scope="module")
def app() -> Iterator[Flask]:
    app = create_app(WebConfig())
    yield app
    app.extensions["flute"].close()


def calls() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, call)
        for path, methods in DOCUMENT["paths"].items()
        for method, call in methods.items()
        if method in METHODS
    ]


CALLS = calls()
NAMES_OF_CALLS = [call["operationId"] for _, _, call in CALLS]
each_call = pytest.mark.parametrize("call", [call for _, _, call in CALLS], ids=NAMES_OF_CALLS)


def errors(schema: dict[str, Any], value: object) -> list[str]:
    whole = {"components": DOCUMENT["components"], **schema}
    return [error.message for error in Draft202012Validator(whole).iter_errors(value)]


def python_blocks(text: str) -> list[str]:
    blocks = text.split("```")[1::2]
    return [block.removeprefix("python\n") for block in blocks if block.startswith("python\n")]


# ----- the document


def test_it_is_valid_openapi() -> None:
    validate(DOCUMENT)


def test_it_has_every_call_of_the_contract() -> None:
    told = {(method.upper(), path) for path, method, _ in CALLS}
    assert {(operation.method, operation.path) for operation in operations()} <= told


def test_it_has_every_address_that_apps_can_call(app: Flask) -> None:
    served = {
        (method, str(rule).replace("<id:", "{").replace(">", "}"))
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
        if method not in {"HEAD", "OPTIONS"}
        and rule.endpoint.startswith("api.")
        and not str(rule).startswith(tuple(NOT_FOR_APPS))
    }
    assert served == {(method.upper(), path) for path, method, _ in CALLS}


def test_it_is_served_with_a_tag_that_saves_the_second_transfer(app: Flask) -> None:
    first = app.test_client().get("/openapi.json")
    assert first.status_code == 200
    assert json.loads(first.data) == json.loads(json.dumps(DOCUMENT))
    second = app.test_client().get("/openapi.json", headers={"If-None-Match": first.headers["ETag"]})
    assert (second.status_code, second.data) == (304, b"")


# ----- what it says is so


def test_its_limits_are_those_of_the_server() -> None:
    said = {
        limits.MAX_RECIPIENTS: FACTS["EmailContent.to"]["maxItems"],
        limits.MAX_REPLY_TO: FACTS["EmailContent.reply_to"]["maxItems"],
        limits.MAX_SUBJECT: FACTS["EmailContent.subject"]["maxLength"],
        limits.MAX_BODY_BYTES: FACTS["EmailContent.html"]["maxLength"],
        limits.MAX_HEADER_VALUE: FACTS["EmailContent.headers"]["additionalProperties"]["maxLength"],
        limits.MAX_FILENAME: FACTS["Attachment.filename"]["maxLength"],
        limits.MAX_TAGS: FACTS["EmailContent.tags"]["maxItems"],
        limits.MAX_TAG: FACTS["EmailContent.tags"]["items"]["maxLength"],
        limits.MAX_METADATA: FACTS["EmailContent.metadata"]["maxProperties"],
        limits.MAX_METADATA_KEY: FACTS["EmailContent.metadata"]["propertyNames"]["maxLength"],
        limits.MAX_METADATA_VALUE: FACTS["EmailContent.metadata"]["additionalProperties"]["maxLength"],
        limits.MAX_NAME: FACTS["Address.name"]["maxLength"],
        limits.MAX_BATCH: FACTS["SendEmailBatchRequest.emails"]["maxItems"],
    }
    assert {known: stated for known, stated in said.items() if known != stated} == {}
    assert FACTS["EmailContent.headers"]["maxProperties"] == limits.MAX_HEADERS
    assert FACTS["EmailContent.attachments"]["maxItems"] == limits.MAX_ATTACHMENTS


def test_the_table_of_limits_states_the_figures_of_the_server() -> None:
    table = chapters()["50-limitations.md"]
    megabyte = 1024 * 1024
    for figure in (
        f"together) | {limits.MAX_RECIPIENTS} |",
        f"{limits.MAX_SUBJECT} characters",
        f"{limits.MAX_BODY_BYTES // megabyte} MB each",
        f"{limits.MAX_CONTENT_BYTES // megabyte} MB, also for a whole batch",
        f"| `tags` | {limits.MAX_TAGS}, of {limits.MAX_TAG} characters |",
        f"| {limits.MAX_METADATA} entries, {limits.MAX_METADATA_KEY} characters a name, "
        f"{limits.MAX_METADATA_VALUE:,} a value |",
        f"| mails in a batch | {limits.MAX_BATCH} |",
        f"| {limits.MAX_AHEAD.days} days ahead |",
        f"| webhook endpoints of an environment | {MAX_ENDPOINTS} |",
        f"| CSV of suppressions | {MAX_BYTES // megabyte} MB, {MAX_LINES:,} lines |",
    ):
        assert figure in table


def test_every_simulated_recipient_is_told() -> None:
    for name in NAMES:
        assert f"| `{name}` |" in chapters()["60-testing.md"]


def test_every_type_of_event_is_told_to_webhooks() -> None:
    assert (set(EVENTS), TEST) == (set(EVENT_TYPES), SERVERS_TEST)
    assert set(DOCUMENT["webhooks"]) == {*EVENTS, TEST}


def test_a_webhook_is_what_its_schema_says() -> None:
    told = Told(
        "evt_7", "delivered", datetime.now(UTC), EMAIL_ID, EMAIL_ID, "a@example.com", "Postmark", "", "Hi"
    )
    assert errors({"$ref": "#/components/schemas/WebhookEvent"}, json.loads(body(told))) == []


def test_the_chapter_on_webhooks_states_the_pauses_between_tries() -> None:
    words = [
        f"{wait} s" if wait < 60 else f"{wait // 60} min" if wait < 3600 else f"{wait // 3600} h"
        for wait in WAITS_S
    ]
    said = " ".join(chapters()["80-webhooks.md"].split())
    assert f"after {', '.join(words[:-1])} and {words[-1]}," in said


def test_the_code_in_the_chapter_on_webhooks_knows_what_is_genuine() -> None:
    known: dict[str, Any] = {}
    exec(python_blocks(chapters()["80-webhooks.md"])[0], known)
    secret = secret_words(b"0123456789abcdef01234567")
    sent = headers([secret_words(b"the one before, 24 octet"), secret], "evt_7", datetime.now(UTC), b"{}")
    assert known["is_genuine"](secret, sent, b"{}")
    assert not known["is_genuine"](secret, sent, b"{ }")
    old = headers([secret], "evt_7", datetime.now(UTC) - timedelta(minutes=6), b"{}")
    assert not known["is_genuine"](secret, old, b"{}")


def test_every_problem_of_the_contract_is_explained() -> None:
    named = {code for operation in operations() for code in operation.problems}
    assert named - set(KINDS) == set()


# ----- examples


@each_call
def test_examples_are_what_the_schemas_say(call: dict[str, Any]) -> None:
    bodies = [call.get("requestBody", {}), *call["responses"].values()]
    for body_ in bodies:
        for content in body_.get("content", {}).values():
            examples = [example["value"] for example in content.get("examples", {}).values()]
            for example in [content["example"]] if "example" in content else examples:
                assert errors(content["schema"], example) == []


@each_call
def test_there_is_code_in_three_languages_and_pythons_compiles(call: dict[str, Any]) -> None:
    sources = {sample["lang"]: sample["source"] for sample in call["x-codeSamples"]}
    assert list(sources) == ["Shell", "Python", "JavaScript"]
    compile(sources["Python"], "sample", "exec")


def test_pythons_code_in_the_chapters_compiles() -> None:
    sources = [source for text in chapters().values() for source in python_blocks(text)]
    assert len(sources) >= 3
    for source in sources:
        compile(source, "sample", "exec")
