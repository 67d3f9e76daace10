"""setup.cfg lists the packages by hand; here it is compared with the folders."""

from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path

from flute_server.cli import main

ROOT = Path(__file__).parent.parent.parent
SHIPPED = ("flute_server", "web", "workers", "proto/json/flute_json")
# Where the packages begin that are not at the top.
ROOTS = (ROOT / "proto" / "gen", ROOT / "proto" / "json", ROOT)


def packages_on_disk() -> set[str]:
    tops = [*SHIPPED, "proto/gen"]
    folders = [file.parent for top in tops for file in (ROOT / top).rglob("__init__.py")]
    return {_name(folder) for folder in folders}


def _name(folder: Path) -> str:
    root = next(root for root in ROOTS if folder.is_relative_to(root))
    return ".".join(folder.relative_to(root).parts)


def setup() -> ConfigParser:
    parser = ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def test_every_package_is_listed_and_exists():
    assert set(setup()["options"]["packages"].split()) == packages_on_disk()


def test_every_folder_of_code_is_a_package():
    code = {file.parent for top in SHIPPED for file in (ROOT / top).rglob("*.py")}
    assert {
        str(folder.relative_to(ROOT)) for folder in code if not (folder / "__init__.py").exists()
    } == set()


def test_the_console_script_leads_to_the_command():
    assert "flute = flute_server.cli:main" in setup()["options.entry_points"]["console_scripts"]
    assert callable(main)
