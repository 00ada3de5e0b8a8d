"""LangGraph: a graph of ten nodes, checkpointed into SQLite before the next node begins (`durability="sync"`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict

from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

from benchmarks.peers.work import STEPS, Work, program


class Values(TypedDict, total=False):
    value: int
    answer: Any


class LangGraph(Work):
    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._opened = AsyncSqliteSaver.from_conn_string(str(directory / "langgraph.db"))

    async def open(self) -> None:
        saver = await self._opened.__aenter__()

        async def step(state: Values) -> Values:
            self.steps_done += 1
            return {"value": state["value"] + 1}

        def ask(state: Values) -> Values:
            return {"answer": interrupt("answer")}

        chain = StateGraph(Values)
        names = [f"step{number}" for number in range(STEPS)]
        for name in names:
            chain.add_node(name, step)
        for one, next_one in zip([START, *names], [*names, END], strict=True):
            chain.add_edge(one, next_one)
        self._chain = chain.compile(checkpointer=saver)
        asking = StateGraph(Values)
        asking.add_node("ask", ask)
        asking.add_edge(START, "ask")
        asking.add_edge("ask", END)
        self._asking = asking.compile(checkpointer=saver)

    async def close(self) -> None:
        await self._opened.__aexit__(None, None, None)

    async def run(self, name: str) -> None:
        values = await self._chain.ainvoke({"value": 0}, _thread(name), durability="sync")
        assert values["value"] == STEPS

    async def ask(self, name: str) -> None:
        await self._asking.ainvoke({"value": 0}, _thread(name), durability="sync")

    async def answer(self, name: str) -> None:
        values = await self._asking.ainvoke(Command(resume={"approved": True}), _thread(name), durability="sync")
        assert values["answer"] == {"approved": True}

    async def recover(self, names: list[str]) -> None:
        for name in names:
            stored = await self._chain.aget_state(_thread(name))
            if not stored.values:
                await self.run(name)
            elif stored.next:
                await self._chain.ainvoke(None, _thread(name), durability="sync")


def _thread(name: str) -> Any:
    return {"configurable": {"thread_id": name}}


if __name__ == "__main__":
    program(LangGraph)
