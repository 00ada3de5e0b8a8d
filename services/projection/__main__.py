"""The projector and the query service in one process: `python -m services.projection`.

Its settings are listed in `services/settings.py`. SIGTERM and SIGINT end it. Exit codes: 0 stopped as asked; 2 an
argument, for it takes none; 3 the installation is not as it should be, and the message says what to do.
"""

from __future__ import annotations

import sys

from services.arguments import word
from services.projecting import answer, main, project

if __name__ == "__main__":
    word("projection", __doc__, sys.argv[1:])
    sys.exit(main("projection", project, answer))
