"""Which of our processes go first where all of them want a processor."""

from __future__ import annotations

import os

LATER = 5
"""How much nicer than an engine a projector is: a quarter of what the two have between them is still its own."""


def give_way() -> None:
    """Let engines and the server go first: a step is waited for, and what is projected of it can wait a little."""
    os.nice(LATER)
