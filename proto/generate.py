"""Fill proto/gen from proto/flute: `python proto/generate.py`. The result is committed and never edited."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

ROOT = Path(__file__).parent
WELL_KNOWN = Path(grpc_tools.__file__).parent / "_proto"


def generate(target: Path) -> None:
    """Write modules and type stubs of every proto file below target. Raises SystemExit on an error."""
    sources = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("flute/**/*.proto"))
    outputs = [f"--{kind}_out={target}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")]
    code = protoc.main(["protoc", f"-I{ROOT}", f"-I{WELL_KNOWN}", *outputs, *sources])
    if code:
        sys.exit(code)
    for package in ("flute", "flute/v1"):
        text = '"""Generated from proto/flute; see proto/generate.py."""\n'
        (target / package / "__init__.py").write_text(text)
    # A file with messages only has nothing to serve.
    for path in target.glob("flute/v1/*_pb2_grpc.py*"):
        if not path.name.split("_pb2")[0].endswith("_service"):
            path.unlink()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        shutil.rmtree(ROOT / "gen", ignore_errors=True)
        shutil.copytree(Path(folder), ROOT / "gen")
