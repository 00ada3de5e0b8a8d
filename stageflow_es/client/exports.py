"""A directory of exports: files that are there whole or not at all, each verified once it is written, and marks beside
them for what is under way.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from hashlib import sha256
from io import BytesIO
from pathlib import Path

from stageflow_es import __version__
from stageflow_es.errors import StageFlowError
from stageflow_es.session import State
from stageflow_es.session.events import SessionArchived
from stageflow_es.session.export import Damaged, NotAnExport, header_line, read_header, verify_export
from stageflow_es.session.verify import Broken, Verified

MARK = ".begun"
"""The end of the name of a mark."""


class NotExported(StageFlowError):
    """A history that cannot be exported to here; the message says why."""


class Exports:
    """The exports in a directory, one file a session. Whatever touches the disk raises OSError."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path(self, session: str) -> Path:
        """Where the export of a session is, or would be."""
        return self._directory / f"{session}.jsonl"

    def write(self, state: State, events: Sequence[bytes]) -> tuple[Path, str]:
        """Write the export of a whole history that was folded into `state`, and verify what was written: where it is,
        and its SHA-256. The same history gives the same bytes. Raises NotExported where it does not verify, or another
        history is in its place."""
        header = header_line(
            state.pipeline,
            session=state.session,
            count=state.n,
            head=state.head,
            exported_at=state.updated_at,
            stageflow=__version__,
        )
        content = header + b"".join(data + b"\n" for data in events)
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self.path(state.session)
        _tidy(path)
        if not _holds(path, content, events):
            _write(path, content)
        _sync(path)
        with path.open("rb") as lines:
            verdict = verify_export(lines, session=state.session, head=state.head, count=state.n)
        if isinstance(verdict, Broken):
            raise NotExported(f"its history does not verify: event {verdict.n}: {verdict.message}")
        return path, sha256(path.read_bytes()).hexdigest()

    def has(self, stone: SessionArchived) -> bool:
        """Whether the very file is here that a session's last event names, and stays here after a power cut."""
        try:
            content = self.path(stone.session).read_bytes()
        except FileNotFoundError:
            return False
        if sha256(content).hexdigest() != stone.export_digest:
            return False
        verdict = verify_export(BytesIO(content), session=stone.session, head=stone.head, count=stone.count)
        if not isinstance(verdict, Verified):
            return False
        _sync(self.path(stone.session))
        return True

    # --- marks ---

    def mark(self, session: str) -> None:
        """Note, for whoever comes after a crash, that something is under way with a session."""
        self._mark(session).touch()

    def unmark(self, session: str) -> None:
        """It is done, or was never begun."""
        self._mark(session).unlink(missing_ok=True)

    def marked(self) -> list[str]:
        """The sessions that have a mark."""
        return sorted(path.name[1 : -len(MARK)] for path in self._directory.glob(f".*{MARK}"))

    def _mark(self, session: str) -> Path:
        return self._directory / f".{session}{MARK}"


def _holds(path: Path, content: bytes, events: Sequence[bytes]) -> bool:
    """Whether the file has this content already. Raises NotExported when it has another history; one that this one
    continues may be replaced."""
    try:
        found = path.read_bytes()
    except FileNotFoundError:
        return False
    first, _, before = found.partition(b"\n")
    mine = content.partition(b"\n")[0]
    if not (_session_of(first) == _session_of(mine) and b"".join(data + b"\n" for data in events).startswith(before)):
        raise NotExported(f"{path} holds something else: archive into another directory, or move that file")
    return found == content


def _session_of(header: bytes) -> str | None:
    """The session an export's first line names; None: it is no such line."""
    try:
        return read_header(header + b"\n").session
    except (NotAnExport, Damaged):
        return None


def _tidy(path: Path) -> None:
    """Remove what processes that are gone left half-written of this file."""
    for part in path.parent.glob(f".{path.name}.*"):
        pid = part.name.rpartition(".")[2]
        if pid.isdecimal() and not _alive(int(pid)):
            part.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _write(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all, also after a power cut."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with fresh.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Have a file and its name on disk, whoever wrote it: one that died may not have come to that."""
    for part in (path, path.parent):
        opened = os.open(part, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
