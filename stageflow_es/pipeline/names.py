"""The known name nearest to an unknown one, cheap enough to ask for every problem of a large definition.

Names one letter away (changed, added, left out, swapped with its neighbour, or in another case) are found through an
index of the known names with each of their letters left out. Only what that does not find is compared name by name,
and of that only a bounded amount is done.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Final

LONGEST: Final = 64
INDEXED_CHARACTERS: Final = 200_000
COMPARISONS: Final = 2_000


class Effort:
    """How many comparisons name by name are left for all questions of one validation, and the answers given so far."""

    def __init__(self) -> None:
        self.left = COMPARISONS
        self.answers: dict[tuple[Names, str], str] = {}


class Names:
    """A set of known names."""

    def __init__(self, known: Iterable[str]) -> None:
        self.known = sorted(name for name in set(known) if len(name) <= LONGEST)
        self._index: dict[str, list[str]] | None = None

    def suggestion(self, name: str, effort: Effort) -> str:
        """`; did you mean 'x'?` where a known name is near, else nothing."""
        answer = effort.answers.get((self, name))
        if answer is None:
            near = self._near(name, effort) if len(name) <= LONGEST else None
            answer = f"; did you mean {near!r}?" if near is not None else ""
            effort.answers[self, name] = answer
        return answer

    def _near(self, name: str, effort: Effort) -> str | None:
        if self._index is None:
            self._index = self._indexed()
        found = {known for variant in _variants(name) for known in self._index.get(variant, ())}
        if found:
            return min(found, key=lambda known: (abs(len(known) - len(name)), known))
        if len(self.known) > effort.left:
            return None
        effort.left -= len(self.known)
        return next(iter(get_close_matches(name, self.known, n=1, cutoff=0.6)), None)

    def _indexed(self) -> dict[str, list[str]]:
        index: dict[str, list[str]] = {}
        if sum(map(len, self.known)) <= INDEXED_CHARACTERS:
            for known in self.known:
                for variant in _variants(known):
                    index.setdefault(variant, []).append(known)
        return index


def _variants(name: str) -> Iterator[str]:
    folded = name.casefold()
    yield folded
    for place in range(len(folded) if len(folded) > 1 else 0):
        yield folded[:place] + folded[place + 1 :]
