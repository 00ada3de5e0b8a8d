"""The shell around the core: what turns decisions into appended events, and outstanding work into running stages.

ports           what the engine needs of a bus, as Protocols
engine          a member of the cluster: leases, its share of the partitions; `settings` is what may be tuned
partition       one partition: its commands and fires, read in order
checkpointing   how a partition is taken over, its checkpoint kept, and left to the next; `ledger`: how far a log has
                been dealt with
partition_host  which of its sessions are in memory, at work or waiting for their turn
actor           one session at work; its inbox, its debts (rejections, timers), its workers (stage runs), its setbacks;
                `host` is what it needs around it
runner          one run of one stage; `durable_calls` is what it records and repeats, `stage_view` the session as the
                stage sees it, `stopwatch` its timeout
awaiting        which stages never suspend, and need no task
failures        where stages raised, in the log
threads         stages that block, in threads; `watchdog` names those that block without saying so
places          how many sessions run stages at once; `waiting_room` how many wait in memory, and how long
intake          from a message on the bus to a command of the core; `forking` reads what a fork begins from
refusing        how rejections are published
definitions     pipelines by digest and by name
loading         a session's state from its history (`replay`), of a long one from a snapshot (`shortcut`)
patience        asking the bus again until it answers
clock           what time it is, and how it is written; `own_time`: of an event loop that keeps its own
vitals          what an engine tells of itself, its group commit included
local           StageFlow's own API: sessions in this process, without a server; `local_host` is what their actors live
                in, `local_commands` what is sent to them, also before they begin; `local_arguments` checks what they
                are given
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stageflow_es.engine.engine import Engine
    from stageflow_es.engine.settings import EngineSettings

__all__ = ["Engine", "EngineSettings"]


def __getattr__(name: str) -> Any:
    """Loads the engine when it is first asked for: whoever needs the ports alone does not pay for it."""
    match name:
        case "Engine":
            from stageflow_es.engine.engine import Engine

            return Engine
        case "EngineSettings":
            from stageflow_es.engine.settings import EngineSettings

            return EngineSettings
        case _:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
