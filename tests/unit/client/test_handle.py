"""What a session's handle makes of the pages it reads."""

from __future__ import annotations

from typing import Any, cast

import pytest

from stageflow_es.client.client import Client
from stageflow_es.client.handle import SessionHandle
from stageflow_es.client.journal import Record


def _event(n: int) -> bytes:
    """Event 9 is the last of an archived session."""
    return b'{"n":%d,"type":"%s"}' % (n, b"session_archived" if n == 9 else b"stage_started")


class _Pages:
    """A client of which a journal reads these pages."""

    def __init__(self, *pages: list[int]) -> None:
        self._pages = [[Record(n, _event(n)) for n in page] for page in pages]

    def journal(self, session: str, start: int) -> Any:
        return self

    async def read(self) -> list[Record]:
        return self._pages.pop(0) if self._pages else []


def _handle(*pages: list[int]) -> SessionHandle:
    return SessionHandle(cast(Client, _Pages(*pages)), "s")


@pytest.mark.parametrize(
    ("pages", "seen"),
    [
        (([1, 2], [3, 4]), [1, 2, 3, 4]),
        (([1, 2], [9]), [9]),
        (([1, 2, 9],), [9]),
        (([1, 2], [4]), [1, 2, 4]),  # what is missing for no good reason hides nothing else
        (([8], [9]), [8, 9]),
    ],
)
async def test_a_history_that_is_archived_while_it_is_read_is_what_is_stored_then(
    pages: tuple[list[int], ...], seen: list[int]
) -> None:
    assert await _handle(*pages).raw_history(pages[0][0]) == [_event(n) for n in seen]
