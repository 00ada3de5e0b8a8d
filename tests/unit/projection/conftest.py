from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.projection.worlds import STAGES, World


@pytest.fixture
async def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    await world.define(STAGES)
    return world
