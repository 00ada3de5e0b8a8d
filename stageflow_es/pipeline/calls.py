"""Which document runs which as a subpipeline: unknown ones, ones that contain themselves, chains that are too long; and
what they leave behind for it."""

from __future__ import annotations

from collections import Counter
from typing import Final

from stageflow_es.pipeline.document import Document, Found
from stageflow_es.pipeline.graph import path_of
from stageflow_es.pipeline.names import Names
from stageflow_es.pipeline.pointers import below, shown
from stageflow_es.pipeline.report import Report

MAX_CALLS: Final = 64
"""Subpipelines that may run inside one another."""
MAX_NAMED: Final = 10
"""Subpipelines that are named where one is asked for that there is not."""


class Calls:
    """Follows every subpipeline node of every document once."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._height: dict[Document, int] = {}
        self._open: dict[Document, str] = {}
        self._left: dict[Document, _Left | None] = {}

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
                self._unknown(pointer, wanted, ids)
            elif child in self._open:
                self._report.error(pointer, self._cycle(child, wanted))
            elif depth == MAX_CALLS:
                self._too_deep(pointer)
            else:
                below_it = 1 + self.check(child, wanted, depth + 1)
                if below_it > MAX_CALLS:
                    self._too_deep(pointer)
                height = max(height, below_it)
                self._check_artifacts(node, child, wanted)
        del self._open[document]
        self._height[document] = height
        return height

    def _unknown(self, pointer: str, wanted: str, ids: Names) -> None:
        near = self._report.near(wanted, ids)
        if ids.known and not near:
            near = f" (there are: {', '.join(map(shown, ids.known[:MAX_NAMED]))})"
        self._report.error(pointer, f"there is no subpipeline {shown(wanted)} here or around here{near}")

    def _check_artifacts(self, node: Found, child: Document, name: str) -> None:
        """Warn of artifacts that a terminal of the child does not leave behind: coming there, the node fails."""
        wanted = node.mapping("artifact_outputs")
        if wanted and child not in self._left:
            self._left[child] = _left_behind(child)
        left = self._left[child] if wanted else None
        if left is None:
            return
        for target, artifact in wanted.items():
            by = left.by[artifact] if isinstance(artifact, str) else left.terminals
            if by == left.terminals:
                continue
            message = f"not every terminal of subpipeline {shown(name)} leaves {shown(artifact)} behind"
            if not by:
                near = self._report.near(artifact, left.names)
                message = f"no terminal of subpipeline {shown(name)} leaves {shown(artifact)} behind{near}"
            self._report.warning(below(node.pointer, "artifact_outputs", target), message)

    def _too_deep(self, pointer: str) -> None:
        self._report.error(pointer, f"subpipelines may run {MAX_CALLS} deep inside one another at most")

    def _cycle(self, child: Document, wanted: str) -> str:
        path = list(self._open)
        names = [self._open[document] for document in path[path.index(child) :]]
        if len(names) == 1:
            return f"subpipeline {shown(wanted)} runs itself; it could never end"
        chain = " -> ".join([*names, wanted])
        return f"subpipeline {shown(wanted)} runs itself round about ({shown(chain)}); it could never end"


class _Left:
    """What a document leaves behind: its terminals, and how many of them leave an artifact."""

    def __init__(self, terminals: list[list[str]]) -> None:
        self.terminals = len(terminals)
        self.by = Counter(artifact for artifacts in terminals for artifact in set(artifacts))
        self.names = Names(self.by)


def _left_behind(child: Document) -> _Left | None:
    """What the terminals that the child may come to leave behind; None where that is not sure or nothing."""
    terminals = []
    for node in path_of(child):
        if node.type == "" or any(target not in child.by_id for target in node.onward):
            return None
        if node.type == "terminal":
            artifacts = node.data.get("artifacts", [])
            if not isinstance(artifacts, list) or not all(isinstance(path, str) for path in artifacts):
                return None
            terminals.append(artifacts)
    return _Left(terminals) if terminals else None
