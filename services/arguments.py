"""What a process takes on its command line: nothing, or one of a few words."""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def word(service: str, about: str, given: Sequence[str], known: Sequence[str] = ()) -> str | None:
    """The word that was given; None: none was. With anything else the process says what it takes and ends with exit
    code 2; asked for help it prints `about` and ends with 0."""
    parser = argparse.ArgumentParser(
        prog=f"python -m services.{service}",
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(word=None)
    if known:
        parser.add_argument("word", nargs="?", choices=known)
    found: str | None = parser.parse_args(given).word
    return found
