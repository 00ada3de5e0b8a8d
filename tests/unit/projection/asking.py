"""Questions to the endpoints over a world's projection, as a client puts them."""

from __future__ import annotations

import json
from typing import Any

from stageflow_es.pipeline import StageSpec
from stageflow_es.projection import Answer, Health, Queries, Reader, endpoints
from tests.unit.projection.worlds import World


class Asker:
    """Asks the endpoints of a world."""

    def __init__(self, world: World, largest: int = 900_000) -> None:
        self.reader = Reader(world.path)
        queries = Queries(self.reader, world.feed, world.bus.definitions, largest=largest)
        catalog = {"Ask": StageSpec(stage_name="Ask", retries=2)}
        self._endpoints = endpoints(queries, Health(self.reader, world.feed), catalog)

    async def __call__(self, endpoint: str, **fields: Any) -> Any:
        answer = await self.raw(endpoint, json.dumps(fields).encode())
        assert not answer.code, answer.reason
        return json.loads(answer.body)

    async def refused(self, endpoint: str, **fields: Any) -> tuple[int, list[dict[str, str]]]:
        answer = await self.raw(endpoint, json.dumps(fields).encode())
        return answer.code, json.loads(answer.body)

    async def raw(self, endpoint: str, body: bytes) -> Answer:
        return await self._endpoints[endpoint](body)
