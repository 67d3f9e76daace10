"""The style guide: every part of the kit on one page, with no server behind it.

python -m tests.browser.styleguide [port]     then open the address that it prints
"""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from flask import Blueprint, Flask, Response, render_template, request
from flute.v1.annotations_pb2 import ROLE_OWNER
from flute.v1.person_service_pb2 import Me, Membership
from jinja2 import ChoiceLoader, FileSystemLoader
from werkzeug.serving import make_server

from web.dashboard import assets, nav, show
from web.dashboard.guard import POLICY


def create_app() -> Flask:
    """A small app with the layout, the kit, and pages that show them."""
    app = Flask(__name__, static_folder=None)
    templates = [Path(__file__).parent / "templates", Path(assets.__file__).parent / "templates"]
    app.jinja_env.loader = ChoiceLoader([FileSystemLoader(folder) for folder in templates])
    app.add_template_global(lambda: "forgery-token", "csrf_token")
    assets.register(app)
    show.register(app)
    app.register_blueprint(_pages())
    app.after_request(_with_policy)
    return app


def _with_policy(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = POLICY
    return response


def _pages() -> Blueprint:
    pages = Blueprint("dashboard", __name__)
    for section in (*nav.MAIN, *nav.MORE):
        pages.add_url_rule(f"/{section.slug}", section.slug, _styleguide)
    pages.add_url_rule("/styleguide", "styleguide", _styleguide)
    pages.add_url_rule("/empty", "empty", _empty)
    pages.add_url_rule("/bare", "bare", _bare)
    fetched = itertools.count(1)
    pages.add_url_rule("/live", "live", lambda: render_template("_live.html", number=next(fetched)))
    for name in ("log_out", "switch_account", "act"):
        pages.add_url_rule(f"/{name}", name, _acted, methods=["POST"])
    return pages


def _context(section: str) -> dict[str, object]:
    memberships = [
        Membership(account_id="1", account_name="Acme"),
        Membership(account_id="2", account_name="Globex"),
    ]
    me = Me(
        name="Ada Lovelace", email="ada@acme.example", operator=True, role=ROLE_OWNER, memberships=memberships
    )
    me.account_id, me.account_name, me.confirmed = "1", "Acme", True
    return {"me": me, "nav": section, "flashes": [("good", "Saved.")]}


def _styleguide() -> str:
    now = datetime.now(UTC)
    hours = [now.replace(minute=0, second=0) - timedelta(hours=23 - at) for at in range(24)]
    return render_template("styleguide.html", now=now, hours=hours, ago=timedelta, **_context("emails"))


def _empty() -> str:
    return render_template("empty.html", **_context("webhooks"))


def _bare() -> str:
    wrong = {"email": "That is no e-mail address.", "password": "At least 12 characters, please."}
    return render_template("login.html", errors=wrong if "wrong" in request.args else {}, flashes=[])


def _acted() -> str:
    """Answers what was sent."""
    return render_template("acted.html", sent=sorted(request.form.items()), flashes=[])


@contextmanager
def running(port: int = 0) -> Iterator[str]:
    """Serve it in a thread; gives its address."""
    server = make_server("127.0.0.1", port, create_app(), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


if __name__ == "__main__":
    with running(int(sys.argv[1]) if len(sys.argv) > 1 else 8090) as address:
        print(f"{address}/styleguide (also /empty, /bare, /bare?wrong=1); Ctrl-C ends it")  # noqa: T201
        threading.Event().wait()
