"""How rejections are published: at least once, and cut short where the bus does not take them whole."""

from __future__ import annotations

from typing import Any

from stageflow_es.engine.host import Host
from stageflow_es.engine.patience import surely
from stageflow_es.engine.ports import Refused
from stageflow_es.errors import Problem
from stageflow_es.session.wire import rejection, short_rejection


async def publish_rejection(
    host: Host, session: str, command: dict[str, Any], seq: int, problems: list[Problem]
) -> None:
    """Return once the rejection is on disk. One that is too long is cut short: a command must not be able to hold up
    those behind it."""
    try:
        await surely(lambda: host.reject(session, seq, rejection(command, seq, problems)))
    except Refused:
        await surely(lambda: host.reject(session, seq, short_rejection(command, seq, problems)))
