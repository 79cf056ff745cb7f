"""Identity of the code that makes a result: what of it can change a number, and nothing of how it is written.

A module is told by its parsed code without docstrings, so that a comment, a docstring or another layout
changes nothing, and with it every module of the rooms below that it imports, wherever in it. What plans,
stores, tracks or shows cannot change a number and is left out; what is chosen by name (a family, an editor, a
method, a metric) is named by the caller. Parsed code is told apart by Python's own minor version.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from unpromptable.storage import fingerprints

PACKAGE = "unpromptable"
ROOMS = (
    "protocols",
    "seam",
    "equations",
    "data",
    "pictures",
    "miniature",
    "models",
    "sampling",
    "editing",
    "unlearning",
    "scoring",
    "preparing",
)  # whose code makes numbers


@cache
def code(*modules: str) -> str:
    """Identity of these modules and of all that they import, by their full names."""
    found: dict[str, str] = {}
    wanted = list(modules)
    while wanted:
        name = wanted.pop()
        if name not in found:
            path = _path(name)
            found[name] = _parsed(path) if path else ""
            wanted += [m for m in _imported(name) if _counts(m, name)] if path else []
    return fingerprints.digest(sorted(found.items()))


@cache
def whole() -> str:
    """Identity of all of the package, its pages and data included."""
    root = Path(__file__).parents[1]
    files = sorted(p for p in root.rglob("*") if p.is_file() and p.suffix != ".pyc")
    told = lambda p: _parsed(p) if p.suffix == ".py" else fingerprints.of(p)
    return fingerprints.digest([f"{p.relative_to(root)}:{told(p)}" for p in files])


def _counts(module: str, importer: str) -> bool:
    """Whether a module can change a number: one of these rooms, or of a foreign importer's own package."""
    top, _, rest = module.partition(".")
    return rest.partition(".")[0] in ROOMS if top == PACKAGE else top == importer.partition(".")[0]


@cache
def _path(module: str) -> Path | None:
    """Its file, found without importing anything; None where it is no Python module. A package may have no
    `__init__.py`, and then several folders.
    """
    top, *rest = module.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None:
        return None
    if not rest:
        tried = [Path(spec.origin)] if spec.origin else []
    else:
        inner = [Path(f).joinpath(*rest) for f in spec.submodule_search_locations or ()]
        tried = [p for i in inner for p in (i.with_name(f"{i.name}.py"), i / "__init__.py")]
    return next((p for p in tried if p.suffix == ".py" and p.is_file()), None)


@cache
def _parsed(path: Path) -> str:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            node.body = _without_docstring(node.body)
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    match body:
        case [ast.Expr(ast.Constant(str())), *rest]:
            return rest
    return body


@cache
def _imported(module: str) -> tuple[str, ...]:
    """Every module that one names in an import, packages on the way to it included."""
    path = _path(module)
    assert path is not None  # only modules with a file are asked for
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return tuple(dict.fromkeys(m for node in ast.walk(tree) for m in _names(node, package)))


def _names(node: ast.AST, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (a.name for a in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = _absolute(node, package)
        ours = base.partition(".")[0] in (PACKAGE, package.partition(".")[0])
        for alias in node.names:
            inner = f"{base}.{alias.name}"
            yield inner if ours and _path(inner) else base


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    return ".".join([*parts[: len(parts) - node.level + 1], *([node.module] if node.module else [])])
