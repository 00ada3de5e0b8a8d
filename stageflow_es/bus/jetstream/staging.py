"""Staging of atomic batches in memory, for a server of our own.

A server with one replica stages each batch in files before it writes it to the stream, which takes three syncs and
thirty calls to the file system, more than all the rest. The staged copy has one use: to complete a batch that a crash
cut off. After the death of the server it is still there in memory; after the death of the machine it is not, and then
what is left is the first events of a batch that was never acknowledged, each of them one that could happen. Nobody
counts on the rest: whoever asked for it reads what is stored. So the directory of staged batches is a link into
memory. What is acknowledged is synced to disk in the stream, as ever.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

MEMORY = Path("/dev/shm")
_ROOM = 256 * 1024 * 1024
"""Bytes free below which batches are staged on disk, as they were."""


def staged(store: Path, stream: str) -> Path:
    """Where a server that keeps its data in `store` stages the batches of a stream."""
    return store / "jetstream" / "$G" / "streams" / stream / "batches"


class Staging:
    """The staged batches of some streams of the server that keeps its data in `store`."""

    def __init__(self, store: Path, streams: Iterable[str], memory: Path = MEMORY) -> None:
        self._streams = {name: staged(store, name) for name in streams}
        self._memory = memory
        self._place = memory / f"stageflow-{sha256(bytes(store.resolve())).hexdigest()[:16]}"

    def in_memory(self) -> bool:
        """Stage in memory from now on, if there is room. To be called when the server has started, for it takes the
        links away then. A stream that has a batch under way just now goes on staging on disk."""
        try:
            if shutil.disk_usage(self._memory).free < _ROOM:
                return False
            shutil.rmtree(self._place, ignore_errors=True)
            self._place.mkdir(mode=0o700)
        except OSError:
            return False
        linked = [_linked(link, self._place / name) for name, link in self._streams.items()]
        return all(linked)

    def clear(self) -> None:
        """Take all of it away, once the server has stopped in order."""
        for link in self._streams.values():
            if link.is_symlink():
                link.unlink()
        if _is_ours(self._place):
            shutil.rmtree(self._place, ignore_errors=True)


def _linked(link: Path, target: Path) -> bool:
    try:
        target.mkdir(mode=0o700)
        link.parent.mkdir(parents=True, exist_ok=True)
        if link.is_symlink():
            link.unlink()
        elif link.exists():
            link.rmdir()
        link.symlink_to(target)
    except OSError:
        return False
    return True


def _is_ours(directory: Path) -> bool:
    """Others may write beside it: what is not a directory of this user's is none of ours."""
    with suppress(OSError):
        found = directory.lstat()
        return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    return False
