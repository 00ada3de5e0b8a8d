"""A picture as text: the nodes from top to bottom, what they open indented under them, and every way they lead.

    ◆ size  first that is true
    ├─ order.total > 10000
    │  ● ask  LogStage
    │  ↓ done
    ├─ else ↓ done
    ■ done  ok

A node is told once. Ways that come together again do so below what they part over; any other way to a node names it,
with an arrow up or down to where it is told.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

import msgspec

from stageflow_es.docs.drawing.geometry import Edge
from stageflow_es.docs.drawing.joins import joins
from stageflow_es.docs.drawing.picture import Box, Link, Panel, panel_name
from stageflow_es.docs.drawing.ranks import rank

MARKS = {"stage": "●", "condition": "◆", "parallel": "╪", "map": "≡", "subpipeline": "▣", "terminal": "■"}
"""What stands in front of a node."""

DEEPEST = 10
"""Branches within branches; what is deeper is told further down."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line: a node (`box`), a way (`link`) that what follows goes on from or that leads to `goal`, told above or
    below; or only `words`. `lead` draws the tree in front of it."""

    lead: str = ""
    box: Box | None = None
    link: Link | None = None
    words: str = ""
    goal: str = ""
    above: bool = False


def outline(panels: Sequence[Panel]) -> Iterator[Row]:
    """The lines of a picture."""
    for panel in panels:
        if panel.path:
            yield Row()
            yield Row(words=f"subpipeline {panel_name(panel.path)}")
        yield from _Telling(panel).rows()


class _Telling:
    """A panel while it is told: which nodes were told, and which will be, by whoever opened the branch around."""

    def __init__(self, panel: Panel) -> None:
        self.panel = panel
        self.leaving: list[list[Link]] = [[] for _ in panel.boxes]
        for link in panel.links:
            self.leaving[link.source].append(link)
        self.told: set[int] = set()
        self.kept: list[int] = []
        self.later: deque[int] = deque()
        self.joins = joins([[link.target for link in links] for links in self.leaving])
        ranked = rank(len(panel.boxes), [Edge(link.source, link.target) for link in panel.links])
        self.depths = self._depths(ranked.ranks)

    def rows(self) -> Iterator[Row]:
        yield from self._chain(self.panel.entry, "", 0)
        while self.later:
            start = self.later.popleft()
            if start not in self.told:
                yield Row()
                yield from self._chain(start, "", 0)
        for start in range(len(self.panel.boxes)):
            if start not in self.told:
                yield Row()
                yield Row(words="never reached")
                yield from self._chain(start, "", 0)

    def _depths(self, ranks: Sequence[int]) -> list[int]:
        """How long the longest way on from each node is."""
        depths = [0] * len(ranks)
        for node in sorted(range(len(ranks)), key=lambda one: -ranks[one]):
            onward = [depths[link.target] + 1 for link in self.leaving[node] if ranks[link.target] > ranks[node]]
            depths[node] = max(onward, default=0)
        return depths

    def _chain(self, start: int, lead: str, depth: int, first: str | None = None) -> Iterator[Row]:
        """A node and all that follows it, as far as it is to be told here. `first`: what leads the first line."""
        node: int | None = start
        while node is not None:
            self.told.add(node)
            yield Row(lead=lead if first is None else first, box=self.panel.boxes[node])
            first = None
            goal, main = self._onward(node)
            branches = [link for link in self.leaving[node] if link is not main]
            if goal is not None and self._free(goal):
                self.kept.append(goal)
                for link in branches:
                    yield from self._branch(link, lead, depth, last=False)
                self.kept.pop()
                if main is not None and main.words and branches:
                    yield Row(lead=f"{lead}▼ ", link=main)
                node = goal
                continue
            ways = branches if main is None else [*branches, main]
            for index, link in enumerate(ways):
                if link is main and link.kind == "next":
                    yield self._named(link, lead)
                else:
                    yield from self._branch(link, lead, depth, last=index == len(ways) - 1)
            node = None

    def _onward(self, node: int) -> tuple[int | None, Link | None]:
        """What follows a node at its own level, and the link that leads there if it is one of its own."""
        links = self.leaving[node]
        own = next((link for link in links if link.kind in ("next", "join")), None)
        if own is not None:
            return own.target, own
        if self.panel.boxes[node].kind != "condition" or not links:
            return None, None
        join = self.joins[node]
        if join is not None and join != node:
            return join, None
        free = [link for link in links if self._free(link.target)]
        main = max(free, key=lambda link: self.depths[link.target], default=None)
        return (None, None) if main is None else (main.target, main)

    def _free(self, node: int) -> bool:
        """Whether a node was not told yet, and nobody around will."""
        return node not in self.told and node not in self.kept

    def _branch(self, link: Link, lead: str, depth: int, *, last: bool) -> Iterator[Row]:
        fork, rail = ("└─ ", "   ") if last else ("├─ ", "│  ")
        if not self._free(link.target) or depth >= DEEPEST:
            if self._free(link.target):
                self.later.append(link.target)
            yield self._named(link, lead + fork)
            return
        if link.words:
            yield Row(lead=lead + fork, link=link)
        yield from self._chain(link.target, lead + rail, depth + 1, None if link.words else lead + fork)

    def _named(self, link: Link, lead: str) -> Row:
        return Row(lead=lead, link=link, goal=self.panel.boxes[link.target].id, above=link.target in self.told)
