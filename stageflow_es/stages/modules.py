"""Loading modules that register stages, by dotted name or by file."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from stageflow_es.errors import OperatorError
from stageflow_es.stages.registry import get_stages


def load_stages(modules: Iterable[str]) -> list[str]:
    """Import each module, given as `package.module` or as `path/to/file.py`. Returns the names that are new since.

    A file is imported once. A dotted name is also looked for in the current directory. Raises OperatorError when
    there is no such module, or its import fails.
    """
    known = get_stages()
    for module in modules:
        try:
            if module.endswith(".py"):
                _load_file(Path(module))
            else:
                _load_name(module)
        except OperatorError:
            raise
        except Exception as problem:
            text = f"stages {module!r} cannot be loaded: {type(problem).__name__}: {problem}"
            raise OperatorError(text + _hint(module, problem)) from problem
    return [name for name in get_stages() if name not in known]


def _hint(module: str, problem: Exception) -> str:
    """What to do about an import that failed for where it was looked for."""
    if not (module.endswith(".py") and isinstance(problem, ModuleNotFoundError)):
        return ""
    return "; a file is loaded by itself: to import what lies beside it, name it as a module, like shop.stages"


def _load_name(name: str) -> None:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    import_module(name)


def _load_file(path: Path) -> None:
    if not path.is_file():
        raise OperatorError(f"there is no file {path} to load stages from")
    name = f"stageflow_stages_{path.resolve().as_posix().replace('/', '_').replace('.', '_')}"
    if name in sys.modules:
        return
    spec = spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
