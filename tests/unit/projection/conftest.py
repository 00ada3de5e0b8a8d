from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.projection.asking import Asker
from tests.unit.projection.worlds import STAGES, World


@pytest.fixture
async def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    await world.define(STAGES)
    return world


@pytest.fixture
async def asker(world: World) -> AsyncIterator[Callable[..., Asker]]:
    made: list[Asker] = []

    def make(**options: Any) -> Asker:
        made.append(Asker(world, **options))
        return made[-1]

    yield make
    for one in made:
        await one.reader.close()
