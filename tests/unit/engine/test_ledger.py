"""How far a log has been dealt with, and how far ahead of that it is read."""

from __future__ import annotations

import asyncio

from stageflow_es.engine.ledger import Ledger


def test_the_floor_is_below_the_first_message_that_is_not_dealt_with() -> None:
    ledger = Ledger(7, 10)
    assert (ledger.floor, ledger.unsettled) == (7, 0)
    for seq in (9, 12, 15):
        ledger.began(seq)
    assert (ledger.floor, ledger.unsettled) == (8, 3)
    ledger.handled(12)
    assert (ledger.floor, ledger.unsettled) == (8, 2)
    ledger.handled(9)
    assert ledger.floor == 14
    for _ in range(2):
        ledger.handled(15)
    assert (ledger.floor, ledger.unsettled) == (15, 0)


async def test_no_more_is_read_while_too_much_is_open_and_reading_goes_on_then() -> None:
    ledger = Ledger(0, 2)
    ledger.began(1)
    await asyncio.wait_for(ledger.room(), 5)
    ledger.began(2)
    waiting = asyncio.create_task(ledger.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    ledger.handled(2)
    await asyncio.wait_for(waiting, 5)
