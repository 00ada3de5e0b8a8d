"""Pipelines by digest: compiled once, checked against their digest, stored before a session names them."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from stageflow_es.engine.patience import surely
from stageflow_es.engine.ports import Definitions
from stageflow_es.errors import OperatorError, Problem
from stageflow_es.pipeline import Catalog, Pipeline, canonical, digest_of
from stageflow_es.pipeline.validation import errors_of

CACHED = 256

Found = dict[str, str | None]
"""What references were found to mean since the starts that have them were read: those read together ask once."""


class Library:
    """The definitions of a bus, with the compiled ones kept."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._compiled: OrderedDict[str, Pipeline] = OrderedDict()
        self._sound: set[str] = set()
        """Those of the compiled ones that the stages here can run."""

    def known(self, digest: str) -> Pipeline | None:
        """The pipeline, if it was asked for lately."""
        pipeline = self._compiled.get(digest)
        if pipeline is not None:
            self._compiled.move_to_end(digest)
        return pipeline

    async def by_digest(self, digest: str) -> Pipeline:
        """The pipeline a session is pinned to. Raises OperatorError when it is not stored, or not what was stored."""
        known = self.known(digest)
        if known is not None:
            return known
        data = await surely(lambda: self._definitions.get(digest))
        if data is None:
            raise OperatorError(f"definition {digest} is not stored: was the pipelines bucket deleted?")
        if digest_of(data) != digest:
            raise OperatorError(f"definition {digest} does not have that digest: it was changed after it was stored")
        return self._keep(Pipeline.trusted(data))

    async def by_reference(self, reference: str, stages: Catalog, found: Found) -> Pipeline | list[Problem]:
        """The pipeline of a `name` or `name@digest`, or why there is none, or everything that is wrong with it here: it
        was registered by somebody who knew nothing of the stages."""
        if reference not in found:
            found[reference] = await self._find(reference)
        digest = found[reference]
        if digest is None:
            return [Problem(path="/pipeline", message=f"no pipeline {reference!r} is registered")]
        pipeline = await self.by_digest(digest)
        return self._problems(digest, pipeline.raw, stages) or pipeline

    async def _find(self, reference: str) -> str | None:
        name, _, wanted = reference.partition("@")
        if not wanted:
            return await surely(lambda: self._definitions.resolve(name))
        versions = await surely(lambda: self._definitions.versions(name))
        fitting = {digest for digest in versions if digest.startswith(wanted)}
        return fitting.pop() if len(fitting) == 1 else None

    async def inline(self, document: dict[str, Any], stages: Catalog) -> Pipeline | list[Problem]:
        """The pipeline of a definition in a start, stored under its digest, or everything that is wrong with it."""
        data = canonical(document)
        digest = digest_of(data)
        if problems := self._problems(digest, document, stages):
            return problems
        known = self._compiled.get(digest)
        if known is not None:
            return known
        await surely(lambda: self._definitions.put(data))
        self._sound.add(digest)
        return self._keep(Pipeline.trusted(data))

    def _problems(self, digest: str, document: dict[str, Any], stages: Catalog) -> list[Problem]:
        """What a definition cannot begin with; looked for once while it is kept."""
        if digest in self._sound:
            return []
        problems = errors_of(document, stages)
        if not problems and digest in self._compiled:
            self._sound.add(digest)
        return problems

    def _keep(self, pipeline: Pipeline) -> Pipeline:
        self._compiled[pipeline.digest] = pipeline
        if len(self._compiled) > CACHED:
            self._sound.discard(self._compiled.popitem(last=False)[0])
        return pipeline
