"""Exports: a session's history as a file that proves itself. Pure: bytes in, bytes out.

`history.jsonl` has a header on its first line, with the definition the session is pinned to, and then each event's
stored bytes, one a line. Every line ends with a newline and there is nothing else in the file, so that no byte of it
can be changed unseen: the header carries its own hash (`seal`), events are chained by theirs, and the header has the
last one's (`head`) and how many there are (`count`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Any

import msgspec

from stageflow_es.errors import DefinitionError, StageFlowError
from stageflow_es.pipeline import Pipeline, digest_of
from stageflow_es.session.verify import Broken, Verified, Verifier

FORMAT = "stageflow-history"
VERSION = 1

_MARKS = (f'"format":"{FORMAT}"'.encode(), b'"exported_at":', b'"seal":')
"""What a header has: with any of it a line is a header, if a damaged one."""

_EVENT = b'{"type":'


class Header(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first line of an export. `definition` is in its canonical bytes, whose SHA-256 is `digest`; `stageflow` is
    the release that exported; `seal` is the SHA-256 of the line as it is with an empty seal."""

    format: str
    version: int
    session: str
    count: int
    head: str
    digest: str
    definition: msgspec.Raw
    exported_at: str
    stageflow: str
    seal: str = ""


class NotAnExport(StageFlowError, ValueError):
    """This is no export of a history at all."""


class Damaged(StageFlowError, ValueError):
    """An export whose header is not as it was written, or not for this release (`newer`): `broken` says so."""

    def __init__(self, message: str, *, newer: bool = False) -> None:
        self.broken = Broken(session="", n=0, kind="newer" if newer else "header", message=message)
        super().__init__(message)


def header_line(pipeline: Pipeline, *, session: str, count: int, head: str, exported_at: str, stageflow: str) -> bytes:
    """The first line of an export; the events' bytes follow, each with a newline."""
    header = Header(
        format=FORMAT,
        version=VERSION,
        session=session,
        count=count,
        head=head,
        digest=pipeline.digest,
        definition=msgspec.Raw(pipeline.canonical),
        exported_at=exported_at,
        stageflow=stageflow,
    )
    return msgspec.json.encode(msgspec.structs.replace(header, seal=_seal(header))) + b"\n"


def read_header(line: bytes) -> Header:
    """The header in the first line of an export. Raises NotAnExport and Damaged."""
    if line.startswith(_EVENT):
        raise NotAnExport("these are events without a header: only an export has the definition with it")
    if not (line.startswith(b'{"') or any(mark in line for mark in _MARKS)):
        raise NotAnExport(f"this is no exported history: its first line is not a {FORMAT} header")
    _check_version(line)
    try:
        header = msgspec.json.decode(line, type=Header)
    except (ValueError, RecursionError) as problem:
        raise Damaged(f"the header was changed: {problem}") from None
    unsealed = msgspec.structs.replace(header, seal="")
    if header.format != FORMAT or header.seal != _seal(unsealed) or msgspec.json.encode(header) + b"\n" != line:
        raise Damaged("the header was changed: it does not have the hash it names")
    if digest_of(bytes(header.definition)) != header.digest:
        raise Damaged("the definition in the header does not have the digest that is there for it")
    return header


def _seal(header: Header) -> str:
    return sha256(msgspec.json.encode(header)).hexdigest()


def _check_version(line: bytes) -> None:
    """Raise Damaged for a header of a format that is newer than this release."""
    try:
        version = msgspec.json.decode(line, type=dict[str, Any]).get("version")
    except (ValueError, RecursionError):
        return
    if isinstance(version, int) and version > VERSION:
        raise Damaged(f"version {version} of the format: this release reads up to {VERSION}", newer=True)


class Export:
    """An export that is being read. `header` is checked, `pipeline` is compiled from it; `events` gives what is left of
    the lines, as events' bytes. Raises NotAnExport and Damaged."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = iter(lines)
        self.header = read_header(next(self._lines, b""))
        try:
            self.pipeline = Pipeline.trusted(bytes(self.header.definition))
        except DefinitionError as problem:
            raise Damaged(f"the definition in the header is none: {problem}") from None

    def events(self) -> Iterator[bytes]:
        """The events' bytes; a line that does not end as it should comes as it is, and is no event."""
        for line in self._lines:
            yield line[:-1] if line.endswith(b"\n") else line + b"(cut off)"


def verify_export(
    lines: Iterable[bytes],
    *,
    pipeline: Pipeline | None = None,
    session: str | None = None,
    head: str | None = None,
    count: int | None = None,
) -> Verified | Broken:
    """Verify an export by its lines, each with its newline, as a file opened for reading bytes gives them.

    The rest is what is known from elsewhere, beside what the header says: the definition, and as in `verify`.
    Raises NotAnExport when it is none at all, and nothing else: a header that was changed is a Broken with `n` 0.
    """
    try:
        export = Export(lines)
    except Damaged as problem:
        return problem.broken
    header = export.header
    verifier = Verifier(pipeline or export.pipeline, session or header.session)
    for data in export.events():
        broken = verifier.check(data)
        if broken is not None:
            return broken
    verdict = verifier.finish(head=header.head, count=header.count)
    return verdict and verifier.finish(head=head, count=count)
