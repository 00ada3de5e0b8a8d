"""Room for the frames of all that a call calls, so that what it costs does not depend on how deep its caller is.

CPython keeps a thread's frames in chunks of 16 KiB and, up to 3.13, gives a chunk back to the system as soon as it is
empty. A loop whose calls happen to lie across the end of a chunk maps and unmaps memory at every turn then, and takes
20 times as long. A call whose own frame does not fit into what is left of a chunk begins a larger one, and holds it
until it returns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

FRAME_WORDS: Final = 8_200
"""Makes the chunk 128 KiB, for CPython doubles it until the frame and 1,000 words fit. It is just more than half of
that: no second one fits behind it, and 64 KB are left, twice what the deepest rule takes."""


def with_room(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of `call`. Costs about 20 microseconds: it is for what makes more calls than a few hundred."""
    return call(*args, **kwargs)


with_room.__code__ = with_room.__code__.replace(co_stacksize=FRAME_WORDS)
