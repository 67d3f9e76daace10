"""Schemathesis reads /openapi.json and tries to catch the running system doing something else.

About a minute here; `make fuzz` takes longer and never the same way twice.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from flute.v1 import api_key_service_pb2

from flute_server.local.embedded import Services
from flute_server.sandbox import Sandbox
from tests.stack import ROOT, Stack, fresh_database, running

# For each call and phase. FLUTE_FUZZ_EXAMPLES says another number, and takes another seed each time.
MAX_EXAMPLES = 60
SEED = 20261122
LONGEST_S = 3600


@pytest.fixture
def own_stack(
    services: Services, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """Everything apart from the other tests: what is made up here may fill lists and pause endpoints."""
    own = Services(fresh_database(services, "fuzz"), services.redis_url.replace("db=0", "db=6"))
    with running(own, sandbox, tmp_path_factory.mktemp("fuzz")) as stack:
        yield stack


@pytest.fixture
def key(own_stack: Stack) -> str:
    """A key that may do everything, of an environment that sends through the sandbox."""
    tenant = own_stack.tenant()
    scopes = [scope for scope in api_key_service_pb2.ApiKeyScope.values() if scope]
    request = api_key_service_pb2.CreateApiKeyRequest(
        environment_id=tenant.environment_id, name="fuzz", scopes=scopes
    )
    client = own_stack.client
    return str(client.call(client.api_keys.CreateApiKey, request).access_token)


@pytest.mark.timeout(LONGEST_S)
def test_the_api_does_what_its_document_says(own_stack: Stack, key: str, tmp_path: Path) -> None:
    more = os.environ.get("FLUTE_FUZZ_EXAMPLES")
    seed = [] if more else ["--seed", str(SEED)]
    done = subprocess.run(
        [
            *(str(Path(sys.executable).parent / "schemathesis"), "--no-color"),
            *("--config-file", str(ROOT / "tests" / "fuzz" / "schemathesis.toml")),
            *("run", f"{own_stack.web_address}/openapi.json"),
            *("--header", f"Authorization: Bearer {key}"),
            *("--max-examples", more or str(MAX_EXAMPLES), *seed),
            *("--workers", "2", "--continue-on-failure", "--request-timeout", "60"),
        ],
        cwd=tmp_path,
        env=own_stack.env,
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert requests.get(f"{own_stack.web_address}/healthz", timeout=60).status_code == 200
    assert "unforeseen" not in own_stack.server.text() + own_stack.web.text()
