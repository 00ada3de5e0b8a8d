"""Rows put into a table by the many."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from stageflow_es.projection.upsert import Upsert


@pytest.mark.parametrize("count", [0, 1, 2, 7, 1023, 1024, 1025, 2500])
def test_every_row_is_put_once_however_many_they_are_and_those_that_are_there_are_changed(count: int) -> None:
    put = Upsert("kept", ("name", "value"), "ON CONFLICT (name) DO UPDATE SET value = excluded.value")
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE kept (name TEXT PRIMARY KEY, value INTEGER) STRICT")
        put(connection, ((f"r{number}", -1) for number in range(count // 2)))
        put(connection, ((f"r{number}", number) for number in range(count)))
        found = connection.execute("SELECT name, value FROM kept ORDER BY value").fetchall()
    assert found == [(f"r{number}", number) for number in range(count)]
