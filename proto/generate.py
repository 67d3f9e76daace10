"""Fill proto/gen from proto/flute: `python proto/generate.py`. The result is committed and never edited."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import grpc_tools
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc

ROOT = Path(__file__).parent
WELL_KNOWN = Path(grpc_tools.__file__).parent / "_proto"

# A path is pairs of a field number and an index (descriptor.proto, SourceCodeInfo); these
# lead to what has a name.
_STEPS = {
    ("file", 4): "message_type",
    ("file", 5): "enum_type",
    ("file", 6): "service",
    ("message_type", 2): "field",
    ("enum_type", 2): "value",
    ("service", 2): "method",
}


def generate(target: Path) -> None:
    """Write modules, stubs and comments of every proto file below target. Raises SystemExit on an error."""
    sources = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("flute/**/*.proto"))
    outputs = [f"--{kind}_out={target}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")]
    _protoc(*outputs, *sources)
    for package in ("flute", "flute/v1"):
        text = '"""Generated from proto/flute; see proto/generate.py."""\n'
        (target / package / "__init__.py").write_text(text)
    # A file with messages only has nothing to serve.
    for path in target.glob("flute/v1/*_pb2_grpc.py*"):
        if not path.name.split("_pb2")[0].endswith("_service"):
            path.unlink()
    comments = json.dumps(_comments(sources), indent=1, sort_keys=True, ensure_ascii=False)
    (target / "flute" / "v1" / "comments.json").write_text(comments + "\n", encoding="utf-8")


def _protoc(*arguments: str) -> None:
    code = protoc.main(["protoc", f"-I{ROOT}", f"-I{WELL_KNOWN}", *arguments])
    if code:
        sys.exit(code)


def _comments(sources: list[str]) -> dict[str, str]:
    """Full name -> its comment in one line: generated code has none, and the reference is made of them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "descriptors"
        _protoc("--include_source_info", f"--descriptor_set_out={path}", *sources)
        files = FileDescriptorSet.FromString(path.read_bytes()).file
    return {name: text for file in files for name, text in _comments_of(file)}


def _comments_of(file: FileDescriptorProto) -> Iterator[tuple[str, str]]:
    for location in file.source_code_info.location:
        name = _name(file, list(location.path))
        if name and location.leading_comments:
            yield name, " ".join(location.leading_comments.split())


def _name(file: FileDescriptorProto, path: list[int]) -> str:
    """The full name of what the path leads to; empty for what has none (an option, a type)."""
    kind, node, names = "file", file, [file.package]
    while path:
        if len(path) < 2 or (kind, path[0]) not in _STEPS:
            return ""
        inner = _STEPS[kind, path[0]]
        node = getattr(node, inner)[path[1]]
        kind, path = inner, path[2:]
        names.append(node.name)
    return ".".join(names) if len(names) > 1 else ""


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        shutil.rmtree(ROOT / "gen", ignore_errors=True)
        shutil.copytree(Path(folder), ROOT / "gen")
