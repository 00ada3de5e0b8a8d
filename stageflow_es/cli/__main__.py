"""`python -m stageflow_es.cli`."""

import sys

from stageflow_es.cli import main

sys.exit(main())
