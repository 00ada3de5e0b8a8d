"""What `stageflow up` runs, in this process."""

from __future__ import annotations

import os
import signal
from asyncio import timeout
from pathlib import Path

import pytest

from stageflow_es.cli.installation import Installation
from stageflow_es.engine import engine
from stageflow_es.errors import OperatorError


async def test_an_installation_ends_with_its_server_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "STOP_PATIENCE", 0.1)
    async with Installation(tmp_path, port=0) as installation:
        assert installation.server.pid is not None
        os.kill(installation.server.pid, signal.SIGKILL)
        async with timeout(20):
            with pytest.raises(OperatorError, match="nats-server has ended"):
                await installation.wait()
