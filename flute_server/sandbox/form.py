"""Form bodies as Mailgun gets them: fields that may repeat, and files."""

from __future__ import annotations

import re
from email.message import Message
from typing import NamedTuple
from urllib.parse import parse_qsl


class FormError(ValueError):
    """Not a form, or a part of it that would be lost without a word."""


class File(NamedTuple):
    """A file part."""

    filename: str
    content_type: str
    content: bytes


class Form(NamedTuple):
    """All fields by name, in the order given."""

    texts: dict[str, list[str]]
    files: dict[str, list[File]]


_DISPOSITION = re.compile(rb"form-data; *name=\"([^\"]*)\"(?:; *filename=\"([^\"]*)\")?(.*)", re.DOTALL)


def parse(body: bytes, content_type: str) -> Form:
    """Raises FormError."""
    kind = content_type.partition(";")[0].strip().lower()
    try:
        if kind == "application/x-www-form-urlencoded":
            return _urlencoded(body)
        if kind == "multipart/form-data":
            return _multipart(body, _boundary(content_type))
    except UnicodeDecodeError as error:
        raise FormError("the form is not UTF-8") from error
    raise FormError("the body must be application/x-www-form-urlencoded or multipart/form-data")


def _urlencoded(body: bytes) -> Form:
    form = Form({}, {})
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=bool(body), errors="strict")
    except UnicodeDecodeError:
        raise
    except ValueError as error:
        raise FormError(str(error)) from error
    for name, value in pairs:
        form.texts.setdefault(name, []).append(value)
    return form


def _boundary(content_type: str) -> bytes:
    header = Message()
    header["Content-Type"] = content_type
    boundary = header.get_param("boundary")
    if not isinstance(boundary, str) or not boundary:
        raise FormError("multipart/form-data without a boundary")
    return boundary.encode()


def _multipart(body: bytes, boundary: bytes) -> Form:
    """RFC 7578: parts between delimiters, the last one closed by two dashes."""
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary)
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        raise FormError("the multipart body does not end with its boundary")
    form = Form({}, {})
    for piece in pieces[1:-1]:
        head, found, content = piece.partition(b"\r\n\r\n")
        if not found:
            raise FormError("a part without an end of its headers")
        _add_part(form, _part_headers(head), content)
    return form


def _part_headers(head: bytes) -> dict[str, bytes]:
    lines = (line.partition(b":") for line in head.split(b"\r\n") if line.strip())
    return {name.strip().decode().lower(): value.strip() for name, _, value in lines}


def _add_part(form: Form, headers: dict[str, bytes], content: bytes) -> None:
    match = _DISPOSITION.fullmatch(headers.get("content-disposition", b""))
    if match is None:
        raise FormError("a part without a form-data disposition and a quoted name")
    name = match[1].decode()
    if b"filename*" in match[3]:
        # Fact sheet 4.8: non-ASCII names come as UTF-8 in filename=, filename*= is not understood.
        raise FormError(f"{name}: filename*= is not understood, send UTF-8 in filename=")
    if match[2] is None:
        form.texts.setdefault(name, []).append(content.decode())
        return
    # Browsers and urllib3 escape a quote, CR and LF in a name like this (WHATWG HTML, multipart encoding).
    filename = match[2].decode().replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n")
    kind = headers.get("content-type", b"").decode()
    form.files.setdefault(name, []).append(File(filename, kind, content))
