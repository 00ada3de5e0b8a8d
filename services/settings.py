"""What the projector and the query service read from the environment.

NATS_URL           where the bus is (or NATS_CONTEXT; see `stageflow_es.client.address`)
STAGEFLOW_PREFIX   subject prefix                                                          stageflow
STAGEFLOW_DB       the projection's file; several processes on one machine may share it    stageflow.db
STAGEFLOW_STAGES   modules or files with stages, comma-separated, for the `stages` query   none but the built-in ones
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from stageflow_es.errors import OperatorError


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the environment says."""

    prefix: str = "stageflow"
    db: str = "stageflow.db"
    stages: str = ""

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Settings:
        """Raises OperatorError on a value that is none."""
        names = {name: environment.get(f"STAGEFLOW_{name.upper()}", "") for name in cls.__struct_fields__}
        try:
            return msgspec.convert({name: value for name, value in names.items() if value}, cls, strict=False)
        except msgspec.ValidationError as problem:
            raise OperatorError(f"the environment is wrong, STAGEFLOW_...: {problem}") from problem

    @property
    def path(self) -> Path:
        return Path(self.db)

    @property
    def stage_modules(self) -> list[str]:
        return [part.strip() for part in self.stages.split(",") if part.strip()]
