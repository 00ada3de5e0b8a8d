"""A process of ours beside this one, for as long as somebody here wants it."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress

from stageflow_es.errors import OperatorError

STOP_WITHIN = 10.0
"""Seconds in which it finishes what it has begun, and ends."""


class Child:
    """A module that runs as a program. It has to end when its standard input does: so it does too when this process is
    gone without a word. Made with `start`."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self._name = name
        self._process = process

    @classmethod
    async def start(cls, name: str, module: str, *arguments: str) -> Child:
        """Run `module`; to people it is the `name`. It finds the packages that are found here."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            module,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            process_group=0,  # Ctrl-C is for us
        )
        return cls(name, process)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def wait(self) -> None:
        """Return never; raise OperatorError when it has ended by itself."""
        code = await self._process.wait()
        raise OperatorError(f"the {self._name} has ended, with exit code {code}; what is written above may say why")

    async def stop(self) -> None:
        """Have it end, and wait until it has."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(STOP_WITHIN):
                await self._process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
