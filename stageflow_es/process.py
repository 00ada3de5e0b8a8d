"""How a process of ours treats the machine it runs on, and the other processes there."""

from __future__ import annotations

import gc
import os

COLLECT_AFTER = 10_000
"""Objects made and not yet gone before garbage is looked for; Python's own 700 are made in two dozen events."""
LATER = 5
"""How much nicer than an engine a projector is: a quarter of what the two have between them is still its own."""


def settle() -> None:
    """Collect garbage less often, once a process runs: what is loaded by then stays, and an event leaves no cycles
    behind."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 20, 50)


def give_way() -> None:
    """Let engines and the server go first: a step is waited for, and what is projected of it can wait a little."""
    os.nice(LATER)
