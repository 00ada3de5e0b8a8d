"""The stages that come with the package, by family. Importing this registers them.

An argument wins over the config entry it stands for when its path was there, were its value null.
"""

from stageflow_es.stages.builtin.dicts import DropKeysStage, PickKeysStage
from stageflow_es.stages.builtin.lists import (
    AppendListStage,
    ExtendListStage,
    FilterListStage,
    PopListStage,
    UniqueListStage,
)
from stageflow_es.stages.builtin.logic import AssertStage, FailStage, LogStage, SleepStage
from stageflow_es.stages.builtin.strings import ConcatStage, TemplateStage
from stageflow_es.stages.builtin.values import CopyValueStage, IncrementStage, MergeDictStage, SetValueStage

__all__ = [
    "AppendListStage",
    "AssertStage",
    "ConcatStage",
    "CopyValueStage",
    "DropKeysStage",
    "ExtendListStage",
    "FailStage",
    "FilterListStage",
    "IncrementStage",
    "LogStage",
    "MergeDictStage",
    "PickKeysStage",
    "PopListStage",
    "SetValueStage",
    "SleepStage",
    "TemplateStage",
    "UniqueListStage",
]
