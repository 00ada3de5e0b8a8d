"""Which document runs which as a subpipeline: unknown ones, ones that contain themselves, chains that are too long."""

from __future__ import annotations

from typing import Final

from stageflow_es.pipeline.document import Document
from stageflow_es.pipeline.pointers import below, shown
from stageflow_es.pipeline.report import Report

MAX_CALLS: Final = 64
"""Subpipelines that may run inside one another."""


class Calls:
    """Follows every subpipeline node of every document once."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._height: dict[Document, int] = {}
        self._open: dict[Document, str] = {}

    def check(self, document: Document, name: str = "", depth: int = 0) -> int:
        """Report what is wrong with what `document` runs, and return how many levels of subpipelines it runs."""
        if document in self._height:
            return self._height[document]
        self._open[document] = name
        height = 0
        ids = None
        for node in document.nodes:
            wanted = node.text("subpipeline_id") if node.type == "subpipeline" else None
            if wanted is None:
                continue
            pointer = below(node.pointer, "subpipeline_id")
            child = document.subpipeline(wanted)
            if child is None:
                ids = ids or document.subpipeline_ids()
                near = self._report.near(wanted, ids)
                self._report.error(pointer, f"there is no subpipeline {shown(wanted)} here or around here{near}")
            elif child in self._open:
                self._report.error(pointer, self._cycle(child, wanted))
            elif depth == MAX_CALLS:
                self._too_deep(pointer)
            else:
                below_it = 1 + self.check(child, wanted, depth + 1)
                if below_it > MAX_CALLS:
                    self._too_deep(pointer)
                height = max(height, below_it)
        del self._open[document]
        self._height[document] = height
        return height

    def _too_deep(self, pointer: str) -> None:
        self._report.error(pointer, f"subpipelines may run {MAX_CALLS} deep inside one another at most")

    def _cycle(self, child: Document, wanted: str) -> str:
        path = list(self._open)
        names = [self._open[document] for document in path[path.index(child) :]]
        if len(names) == 1:
            return f"subpipeline {shown(wanted)} runs itself; it could never end"
        chain = " -> ".join([*names, wanted])
        return f"subpipeline {shown(wanted)} runs itself round about ({shown(chain)}); it could never end"
