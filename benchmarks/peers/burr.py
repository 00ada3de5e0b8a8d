"""Burr: a library; its state machine, persisted after every action into SQLite over one shared connection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from burr.core import Application, ApplicationBuilder, State, action, default, when
from burr.core.graph import Graph, GraphBuilder
from burr.integrations.persisters.b_aiosqlite import AsyncSQLitePersister

from benchmarks.peers.work import STEPS, Work, program


class Burr(Work):
    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._waiting: dict[str, Application[Any]] = {}

    async def open(self) -> None:
        self._persister = await AsyncSQLitePersister.from_values(db_path=str(self.directory / "burr.db"))
        await self._persister.initialize()

        @action(reads=["value"], writes=["value"])
        async def step(state: State) -> State:
            self.steps_done += 1
            return state.update(value=state["value"] + 1)

        @action(reads=[], writes=["answer"])
        async def take(state: State, given: Any) -> State:
            return state.update(answer=given)

        @action(reads=[], writes=[])
        async def end(state: State) -> State:
            return state

        chain = GraphBuilder().with_actions(step=step, end=end)
        self._chain = chain.with_transitions(("step", "end", when(value=STEPS)), ("step", "step", default)).build()
        asking = GraphBuilder().with_actions(begin=end, take=take, end=end)
        self._asking = asking.with_transitions(("begin", "take"), ("take", "end")).build()

    async def close(self) -> None:
        await self._persister.connection.close()

    async def _application(self, name: str, graph: Graph, entry: str) -> Application[Any]:
        """New, or where it stood."""
        state = {"value": 0}
        return await (
            ApplicationBuilder()
            .with_graph(graph)
            .initialize_from(self._persister, resume_at_next_action=True, default_state=state, default_entrypoint=entry)
            .with_state_persister(self._persister)
            .with_identifiers(app_id=name, partition_key="bench")
            .abuild()
        )

    async def run(self, name: str) -> None:
        _, _, state = await (await self._application(name, self._chain, "step")).arun(halt_after=["end"])
        assert state["value"] == STEPS

    async def ask(self, name: str) -> None:
        application = await self._application(name, self._asking, "begin")
        await application.arun(halt_before=["take"])
        self._waiting[name] = application

    async def answer(self, name: str) -> None:
        await self._waiting.pop(name).arun(halt_after=["end"], inputs={"given": {"approved": True}})

    async def recover(self, names: list[str]) -> None:
        for name in names:
            stored = await self._persister.load("bench", name)
            if stored is None or stored["position"] != "end":
                await self.run(name)


if __name__ == "__main__":
    program(Burr)
