"""The query service as a process: `python -m services.query` answers from the projection's file, which a projector on
this machine writes.

Its settings are those of `services/settings.py`, which `--help` prints too. SIGTERM and SIGINT end it. Exit codes: 0
stopped as asked; 2 an argument, for it takes none; 3 the installation is not as it should be, and the message says what
to do.
"""

from __future__ import annotations

import sys

from services import settings
from services.arguments import word
from services.projecting import answer, main

if __name__ == "__main__":
    word("query", f"{__doc__}\n{settings.__doc__}", sys.argv[1:])
    sys.exit(main("query", answer))
