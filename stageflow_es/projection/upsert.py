"""Many rows by few statements.

SQLite works outside of Python's lock, and a thread that comes back from there waits for the lock while another one
computes, 5 ms if nobody changed `sys.setswitchinterval`. That is paid for at the end of each statement, be it one row's
or a thousand's.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import chain, islice

_AT_ONCE = [1 << power for power in range(10, -1, -1)]
"""Rows of one statement: of any number of rows the most that are left, so that a dozen statements are prepared and kept
for each table. Times the columns it is below SQLite's 32,766 parameters."""

Value = str | int | bytes | None


class Upsert:
    """Puts rows of `columns` into `table`; `conflict`: what becomes of one that is there, a clause of SQL."""

    def __init__(self, table: str, columns: Sequence[str], conflict: str) -> None:
        row = f"({', '.join('?' * len(columns))})"
        self._statements = [
            (rows, f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([row] * rows)} {conflict}")
            for rows in _AT_ONCE
        ]

    def __call__(self, connection: sqlite3.Connection, rows: Iterable[Sequence[Value]]) -> None:
        coming = iter(rows)
        while part := list(islice(coming, _AT_ONCE[0])):
            at = 0
            for size, statement in self._statements:
                while len(part) - at >= size:
                    connection.execute(statement, list(chain.from_iterable(part[at : at + size])))
                    at += size
