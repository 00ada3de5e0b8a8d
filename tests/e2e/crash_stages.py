"""Stages that leave a trace outside of the session: one line for every run that begins."""

import asyncio
import os
import time

from stageflow_es import BaseStage, register_stage


@register_stage("Trace")
class Trace(BaseStage):
    """
    description: "Writes down that it began, takes its time, and counts."
    arguments:
      value: {type: integer, optional: true}
    outputs:
      value: integer
    """

    async def run(self) -> None:
        line = f"{self.session.id} {self.stage_id} {time.time_ns()}\n"
        handle = os.open(os.environ["TRACE_FILE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(handle, line.encode())
        os.close(handle)
        await asyncio.sleep(0.02)
        self.set_outputs({"value": (self.get_arguments()["value"] or 0) + 1})
