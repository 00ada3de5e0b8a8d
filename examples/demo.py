"""`make demo`: an order that somebody has to approve, from its start to its snapshot, on a real NATS server.

Everything runs in this process but the server and the projector, which are children of it; nothing is left behind.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from stageflow_es import OperatorError, connect
from stageflow_es.cli.installation import Installation
from stageflow_es.cli.render import event_line, session_card
from stageflow_es.client import Client, SessionHandle, SessionInfo
from stageflow_es.client.follow import type_of
from stageflow_es.log import log_warnings
from stageflow_es.pipeline import Pipeline
from stageflow_es.session import State, apply
from stageflow_es.session.events import WaitingForInput
from stageflow_es.stages.modules import load_stages

EXAMPLES = Path(__file__).parent
PATIENCE = 45.0

console = Console(highlight=False, markup=False, soft_wrap=True)


def heading(text: str) -> None:
    console.print(f"\n{text}", style="bold")


async def run_order(client: Client, definition: dict[str, object]) -> SessionHandle:
    """Register the pipeline, start a session, answer its question, and print its events as they happen."""
    order = json.loads((EXAMPLES / "order.json").read_text())
    digest = await client.register("order-approval", definition)
    heading(f"Starting order-approval@{digest[:12]}; its events as they happen")
    session = await client.start("order-approval", session="order-117", payload=order, labels={"customer": "ada"})
    async for event in session.events():
        console.print(event_line(event))
        if isinstance(event, WaitingForInput):
            console.print(
                f"             it waits for an input of type {event.input_type!r}: Grace says yes", style="dim"
            )
            await session.input("approval", {"approved": True, "by": "Grace"})
    return session


async def show_outcome(session: SessionHandle) -> int:
    """Print how it ended, and return the number of its last event."""
    outcome = await session.result()
    heading("Result and artifacts")
    console.print_json(data=outcome.result)
    console.print_json(data=outcome.artifacts)
    return outcome.version


async def replay(session: SessionHandle, definition: dict[str, object]) -> None:
    """Fold the stored history again, checking every event's hash, and print where each event leads."""
    history = await session.raw_history()
    heading(f"The history, replayed: {len(history)} events, {sum(map(len, history)):,} bytes")
    state = State(session.id, Pipeline.from_dict(definition))
    for data in history:
        event = apply(state, data)
        at = ", ".join(state.current_nodes())
        console.print(f"{event.n:>4} {type_of(data):<22} -> {state.status:<10}{at and ' at ' + at}")
    console.print(f"The hash chain is unbroken, and the result is the same: {json.dumps(state.result)}", style="green")


async def snapshot(session: SessionHandle, version: int) -> SessionInfo:
    """The session's row, once the projector has come to its last event."""
    while True:
        row = await session.get()
        if row is not None and row.version >= version:
            return row
        await asyncio.sleep(0.02)


async def demo() -> None:
    log_warnings()
    load_stages([str(EXAMPLES / "order_stages.py")])
    definition = json.loads((EXAMPLES / "order_approval.json").read_text())
    with TemporaryDirectory(prefix="stageflow-demo-") as directory:
        async with Installation(Path(directory), port=0) as installation, connect(installation.url) as client:
            heading(f"A NATS server at {installation.url}, an engine, a projector and the query service are running")
            session = await run_order(client, definition)
            version = await show_outcome(session)
            await replay(session, definition)
            heading("The snapshot the projector keeps of it")
            console.print(session_card(await snapshot(session, version)))
    heading("Everything is stopped")


def main() -> int:
    try:
        asyncio.run(asyncio.wait_for(demo(), PATIENCE))
    except (OperatorError, TimeoutError) as problem:
        print(f"demo: {problem or 'it took too long'}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
