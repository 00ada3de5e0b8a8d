"""What the references between the nodes of one document come to: dangling ones, nodes nobody reaches, joins and ends
that can never happen."""

from __future__ import annotations

from typing import Final

from stageflow_es.pipeline.document import Document, Found
from stageflow_es.pipeline.pointers import below, shown
from stageflow_es.pipeline.report import Report

SEARCH: Final = 60_000
"""Nodes that may be visited in looking for joins that cannot happen; past that, the rest is not looked at."""


def check_graph(document: Document, report: Report, search: Search) -> None:
    """Report what is wrong with the references of a document."""
    _check_targets(document, report)
    _check_reach(document, report)
    _check_end(document, report)
    for node in document.nodes:
        if node.type == "parallel":
            _check_parallel(node, document, report, search)
        elif node.type == "map":
            _check_map(node, document, report, search)


def _check_targets(document: Document, report: Report) -> None:
    if document.entry is not None and document.entry not in document.by_id and document.by_id:
        _dangling(document.entry, below(document.pointer, "entry"), document, report)
    for node in document.nodes:
        for where, target in node.targets if node.type else ():
            if target not in document.by_id:
                _dangling(target, below(node.pointer, *where), document, report)


def _dangling(target: str, pointer: str, document: Document, report: Report) -> None:
    near = report.near(target, document.ids)
    report.error(pointer, f"there is no node {shown(target)} in this document{near}")


def _check_reach(document: Document, report: Report) -> None:
    start = document.by_id.get(document.entry or "")
    if start is None:
        return
    reached = {start.id}
    pending = [start]
    while pending:
        for _, target in pending.pop().targets:
            if target in document.by_id and target not in reached:
                reached.add(target)
                pending.append(document.by_id[target])
    for node in document.nodes:
        if node.id not in reached:
            report.warning(node.pointer, f"node {shown(node.id)} is never reached from {shown(start.id)}")


def _check_end(document: Document, report: Report) -> None:
    """The pipeline's own cursor has to come to a terminal: branches and bodies may end without one."""
    passed = path_of(document)
    stuck = [
        node for node in passed if node.type not in ("terminal", "condition", "") and node.data.get("next") is None
    ]
    for node in stuck:
        report.warning(
            node.pointer, f"node {shown(node.id)} has no `next`: the pipeline fails here, for only a terminal ends it"
        )
    if passed and not stuck and not any(_may_end(node) or _dangles(node, document) for node in passed):
        report.warning(
            below(document.pointer, "entry"),
            f"no way from {shown(passed[0].id)} comes to a terminal: the pipeline goes on until something else ends it",
        )


def path_of(document: Document) -> list[Found]:
    """The nodes the document's own cursor may come to, the entry first; not those of branches and bodies."""
    start = document.by_id.get(document.entry or "")
    passed = {} if start is None else {start.id: start}
    pending = list(passed.values())
    while pending:
        for target in pending.pop().onward:
            if target not in passed and target in document.by_id:
                passed[target] = document.by_id[target]
                pending.append(passed[target])
    return list(passed.values())


def _dangles(node: Found, document: Document) -> bool:
    return any(target not in document.by_id for target in node.onward)


class Search:
    """Looks for the end of a branch, within `SEARCH` visits for all branches of a validation."""

    def __init__(self) -> None:
        self._left = SEARCH

    def branch(self, start: str, owner: Found, document: Document) -> tuple[bool, bool]:
        """Whether a way from `start` ends the branch without passing `owner` again, and whether one passes it.

        A branch ends at a terminal, at a null `next`, or on reaching its owner's own `next`. Where that is not sure
        (dangling references, unknown types, too much to visit), it may end.
        """
        goal = owner.text("next")
        seen = {start}
        pending = [start]
        ends = back = False
        while pending:
            id = pending.pop()
            node = document.by_id.get(id)
            self._left -= 1
            if self._left < 0:
                return True, False
            if node is owner:
                back = True
            elif node is None or id == goal or _may_end(node):
                ends = True
            else:
                pending.extend(target for target in node.onward if target not in seen)
                seen.update(node.onward)
        return ends, back


def _may_end(node: Found) -> bool:
    return node.type in ("terminal", "") or (node.type != "condition" and node.text("next") is None)


def _check_parallel(node: Found, document: Document, report: Report, search: Search) -> None:
    for index, child in node.children():
        pointer = below(node.pointer, "children", index)
        if child == node.id:
            report.error(pointer, f"parallel node {shown(node.id)} is its own child: it would open itself for ever")
        elif child == node.text("next"):
            report.warning(pointer, f"child {shown(child)} is also `next`: its branch ends before it does anything")
        else:
            _check_branch(child, node, pointer, document, report, search)


def _check_branch(child: str, node: Found, pointer: str, document: Document, report: Report, search: Search) -> None:
    ends, back = search.branch(child, node, document)
    if not ends and back and node.data.get("policy", "all") == "all":
        report.error(
            pointer,
            f"the branch of {shown(child)} always leads back to {shown(node.id)}, which waits for it: they never join; "
            "end it with a terminal, a null `next`, or the parallel node's own `next`",
        )
    elif not ends:
        report.warning(pointer, f"no way out of the branch of {shown(child)}: it runs until something else ends it")
    elif back:
        report.warning(
            pointer, f"the branch of {shown(child)} can lead back to {shown(node.id)} and open it again inside"
        )


def _check_map(node: Found, document: Document, report: Report, search: Search) -> None:
    body = node.text("body")
    pointer = below(node.pointer, "body")
    if node.text("index_path") == "payload":
        report.error(below(node.pointer, "index_path"), "the index cannot be the whole context; give it a name in it")
    if body is None:
        return
    if body == node.text("next"):
        report.warning(pointer, f"body {shown(body)} is also `next`: every iteration ends before it does anything")
        return
    ends, back = search.branch(body, node, document)
    if not ends and not back:
        report.warning(pointer, f"no way out of the body {shown(body)}: an iteration runs until something else ends it")
    elif back:
        report.warning(
            pointer, f"the body {shown(body)} leads back to {shown(node.id)}: it maps again inside each item"
        )
