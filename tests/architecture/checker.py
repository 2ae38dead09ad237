"""Reads source with ``ast`` and reports what breaks the plan of the house.

Every check takes a folder and returns complaints as text, so that it can be tried on a planted tree.
It must not import the code it reads.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PACKAGE = "dragoman"

LAYERS: tuple[tuple[str, ...], ...] = (
    ("language",),
    ("settings",),
    ("upstream", "store", "observe"),
    ("relay",),
    ("web",),
    ("app", "in_force", "keeping", "cli", "__main__"),
)
"""Lowest first. A module may import its own layer and the ones before it."""

UNCLEAN = frozenset(
    """
    aifc asyncio calendar concurrent contextvars datetime dbm email fcntl fileinput ftplib getpass gc glob http
    imaplib importlib io locale logging mmap multiprocessing nntplib os pathlib pickle pipes platform poplib pty
    queue random resource sched secrets select selectors shelve shutil signal smtplib socket socketserver sqlite3
    ssl subprocess sys syslog tarfile tempfile termios threading time tkinter urllib uuid warnings webbrowser
    weakref xmlrpc zipfile zoneinfo
    """.split()
)
"""Standard modules that touch the world: I/O, clock, randomness, threads, interpreter state."""

PURE_LIBRARIES = frozenset({"orjson"})
TOKENS_ONLY = frozenset({"tiktoken", "regex", "importlib.resources", "threading"})
"""Package data and the byte-pair encoder belong to ``language/tokens`` alone; its lock guards its caches."""

UNCLEAN_CALLS = frozenset({"open", "print", "input", "__import__", "exec", "eval"})

BANNED_WORDS = frozenset("transform convert handle process manager helper utils misc common".split())
MAX_FILE_LINES = 700
MAX_FUNCTION_LINES = 60

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def source_files(root: Path) -> Iterator[Path]:
    """Yield the Python files below ``root`` in a stable order."""
    yield from sorted(path for path in root.rglob("*.py") if "__pycache__" not in path.parts)


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def module_name(path: Path, package_root: Path) -> str:
    """Return the dotted name of a file below the package's folder."""
    parts = [PACKAGE, *path.relative_to(package_root).with_suffix("").parts]
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts)


def imported_names(tree: ast.AST, module: str, is_package: bool) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of everything imported, wherever the import stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".") if is_package else module.split(".")[:-1]
                parents = parents[: len(parents) - (node.level - 1)]
                base = ".".join([*parents, base]) if base else ".".join(parents)
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}"


def _rank(module: str) -> int | None:
    """Return the layer of a module of ours; the bare package counts as the lowest."""
    parts = module.split(".")
    if len(parts) == 1 or parts[1] == "__version__":
        return 0
    for rank, names in enumerate(LAYERS):
        if parts[1] in names:
            return rank
    return None


def climbing_imports(package_root: Path) -> list[str]:
    """Report imports of a higher layer, and modules that no layer knows."""
    complaints = []
    for path in source_files(package_root):
        module = module_name(path, package_root)
        own = _rank(module)
        if own is None:
            complaints.append(f"{path}: {module} belongs to no layer")
            continue
        for line, name in imported_names(_tree(path), module, path.name == "__init__.py"):
            if name.split(".")[0] != PACKAGE:
                continue
            other = _rank(name)
            if other is None:
                complaints.append(f"{path}:{line}: {name} belongs to no layer")
            elif other > own:
                complaints.append(f"{path}:{line}: {module} climbs to {name}")
    return complaints


def _may_import(name: str, in_tokens: bool, stdlib: frozenset[str]) -> bool:
    if in_tokens and any(name == allowed or name.startswith(f"{allowed}.") for allowed in TOKENS_ONLY):
        return True
    top = name.split(".")[0]
    if top == PACKAGE:
        return True
    return (top in stdlib and top not in UNCLEAN) or top in PURE_LIBRARIES


def unclean_language(package_root: Path, stdlib: frozenset[str]) -> list[str]:
    """Report imports and calls by which ``language/`` would touch the world."""
    complaints = []
    language = package_root / "language"
    for path in source_files(language):
        in_tokens = path.relative_to(language).parts[0] in {"tokens", "tokens.py"}
        tree = _tree(path)
        for line, name in imported_names(tree, module_name(path, package_root), path.name == "__init__.py"):
            if not _may_import(name, in_tokens, stdlib):
                complaints.append(f"{path}:{line}: language imports {name}")
        complaints += [
            f"{path}:{node.lineno}: language calls {node.func.id}()"
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in UNCLEAN_CALLS
        ]
    return complaints


def words(name: str) -> list[str]:
    """Split a snake_case or CamelCase name into lower-case words."""
    return [word.lower() for word in _WORD.findall(name)]


def defined_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and name of everything a module defines: functions, classes, arguments, variables."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr
        elif isinstance(node, ast.alias) and node.asname:
            yield node.lineno, node.asname


def banned_names(root: Path) -> list[str]:
    """Report defined names and file names that hold a word saying nothing."""
    complaints = []
    for path in source_files(root):
        for part in path.relative_to(root).with_suffix("").parts:
            if bad := BANNED_WORDS.intersection(words(part)):
                complaints.append(f"{path}: file name holds {sorted(bad)}")
        for line, name in defined_names(_tree(path)):
            if bad := BANNED_WORDS.intersection(words(name)):
                complaints.append(f"{path}:{line}: {name} holds {sorted(bad)}")
    return complaints


def oversized(root: Path) -> list[str]:
    """Report files and functions that want to be two."""
    complaints = []
    for path in source_files(root):
        lines = path.read_text(encoding="utf-8").count("\n")
        if lines > MAX_FILE_LINES:
            complaints.append(f"{path}: {lines} lines")
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                size = (node.end_lineno or node.lineno) - node.lineno + 1
                if size > MAX_FUNCTION_LINES:
                    complaints.append(f"{path}:{node.lineno}: {node.name} has {size} lines")
    return complaints


def undocumented_modules(package_root: Path) -> list[str]:
    """Report modules that do not open with a docstring (an empty file needs none)."""
    return [
        f"{path}: no docstring"
        for path in source_files(package_root)
        if (tree := _tree(path)).body and ast.get_docstring(tree) is None
    ]
