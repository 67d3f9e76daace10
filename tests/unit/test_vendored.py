"""The static files that are not ours are those that VENDORED.md names, unchanged."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

STATIC = Path(__file__).parent.parent.parent / "web" / "dashboard" / "static"


def test_files_are_as_noted():
    noted = dict(
        re.findall(r"\| `(vendor/\S+)` \|.*`([0-9a-f]{64})` \|", (STATIC / "VENDORED.md").read_text())
    )
    files = [file for file in (STATIC / "vendor").iterdir() if not file.name.endswith(".LICENSE.txt")]
    assert {
        str(file.relative_to(STATIC)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files
    } == noted


def test_nothing_leads_to_another_host():
    ours = [*STATIC.glob("css/*.css"), *STATIC.glob("js/*.js"), *STATIC.parent.glob("templates/*.html")]
    assert [file.name for file in ours if re.search(r"https?://|url\(//", file.read_text())] == []
