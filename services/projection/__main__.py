"""The projector and the query service in one process: `python -m services.projection`.

Its settings are those of `services/settings.py`, which `--help` prints too. SIGTERM and SIGINT end it. Exit codes: 0
stopped as asked; 2 an argument, for it takes none; 3 the installation is not as it should be, and the message says what
to do.
"""

from __future__ import annotations

import sys

from services import settings
from services.arguments import word
from services.projecting import answer, main, project

if __name__ == "__main__":
    word("projection", f"{__doc__}\n{settings.__doc__}", sys.argv[1:])
    sys.exit(main("projection", project, answer))
