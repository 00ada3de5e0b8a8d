"""Docstrings that begin as YAML and are none: their authors are told, in Python's own way, where that is."""

from __future__ import annotations

import ast
import warnings
from inspect import getsourcefile, getsourcelines
from textwrap import dedent

from stageflow_es.stages.docstring import Flaw


class DocstringWarning(UserWarning):
    """A stage's docstring begins as YAML, and cannot be read as that. It is a warning, for the stage runs as well as
    before: sessions that need it would have to stand still over how it is described."""


def tell(stage: type, name: str, flaw: Flaw) -> None:
    """Warn of the docstring of a class, registered under a name."""
    file, line = _place(stage, flaw.line)
    message = (
        f"the docstring of stage {name!r} begins as YAML and is none: {flaw.problem}. It is taken for prose, and "
        "nothing is checked against it"
    )
    warnings.warn_explicit(message, DocstringWarning, file, line, module=stage.__module__)


def _place(stage: type, line: int) -> tuple[str, int]:
    """The file and the line there of a line in a class's docstring; where that cannot be found, of the class."""
    file, start = f"<{stage.__module__}>", 1
    try:
        file = getsourcefile(stage) or file
        source, start = getsourcelines(stage)
        (statement,) = ast.parse(dedent("".join(source))).body
    except (OSError, TypeError, SyntaxError, ValueError):
        return file, start
    if isinstance(statement, ast.ClassDef) and ast.get_docstring(statement) is not None:
        return file, start - 1 + statement.body[0].lineno + line
    return file, start
