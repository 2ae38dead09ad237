"""The plan of the house, checked: imports point downward, the language is pure, names say something."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.architecture import checker

PROJECT = Path(__file__).resolve().parents[2]
PACKAGE_ROOT = PROJECT / "src" / "dragoman"
STDLIB = frozenset(sys.stdlib_module_names)


def test_imports_point_downward() -> None:
    assert checker.climbing_imports(PACKAGE_ROOT) == []


def test_language_is_pure() -> None:
    assert checker.unclean_language(PACKAGE_ROOT, STDLIB) == []


@pytest.mark.parametrize("folder", ["src", "tests", "bench"])
def test_names_say_something(folder: str) -> None:
    assert checker.banned_names(PROJECT / folder) == []


@pytest.mark.parametrize("folder", ["src", "tests", "bench"])
def test_files_and_functions_are_small(folder: str) -> None:
    assert checker.oversized(PROJECT / folder) == []


def test_modules_say_what_they_are_for() -> None:
    assert checker.undocumented_modules(PACKAGE_ROOT) == []


# ---------------------------------------------------------------- the checker finds what is planted


def plant(root: Path, files: dict[str, str]) -> Path:
    """Write a small tree and return its package folder."""
    for name, text in files.items():
        path = root / "dragoman" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root / "dragoman"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("relay/relay.py", "from dragoman.web import surfaces\n"),
        ("relay/relay.py", "def later():\n    import dragoman.app\n"),
        ("upstream/client.py", "from dragoman import relay\n"),
        ("upstream/client.py", "from ..relay import routing\n"),
        ("store/__init__.py", "from ..web import admin\n"),
        ("settings.py", "from dragoman.upstream import client\n"),
        ("language/ir.py", "import dragoman.settings\n"),
        ("language/dialects/x.py", "from ...settings import Settings\n"),
    ],
)
def test_a_climb_is_reported(tmp_path: Path, name: str, text: str) -> None:
    [complaint] = checker.climbing_imports(plant(tmp_path, {name: text}))
    assert "climbs" in complaint
    assert name in complaint


def test_downward_and_sideways_is_fine(tmp_path: Path) -> None:
    root = plant(
        tmp_path,
        {
            "__init__.py": "__version__ = '1'\n",
            "web/a.py": "from dragoman.relay import relay\nfrom dragoman.language import ir\n",
            "store/a.py": "from dragoman.observe import logs\nfrom dragoman import __version__\n",
            "cli/__init__.py": "from dragoman.app import build\nimport dragoman\n",
        },
    )
    assert checker.climbing_imports(root) == []


def test_a_room_without_a_layer_is_reported(tmp_path: Path) -> None:
    [complaint] = checker.climbing_imports(plant(tmp_path, {"attic.py": ""}))
    assert "no layer" in complaint


@pytest.mark.parametrize(
    "text",
    [
        "import socket\n",
        "import os.path\n",
        "from time import monotonic\n",
        "def f():\n    import random\n",
        "import aiohttp\n",
        "import tiktoken\n",
        "from importlib.resources import files\n",
        "from urllib.parse import urlparse\n",
        "x = open('f')\n",
    ],
)
def test_an_unclean_language_is_reported(tmp_path: Path, text: str) -> None:
    [complaint] = checker.unclean_language(plant(tmp_path, {"language/ir.py": text}), STDLIB)
    assert "language" in complaint


def test_tokens_may_read_package_data(tmp_path: Path) -> None:
    text = "import tiktoken\nfrom importlib.resources import files\nimport hashlib, lzma, orjson\n"
    assert checker.unclean_language(plant(tmp_path, {"language/tokens.py": text}), STDLIB) == []
    assert checker.unclean_language(plant(tmp_path, {"language/tokens.py": "import os\n"}), STDLIB) != []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.py", "def convert_request(): ...\n"),
        ("a.py", "class KeyManager: ...\n"),
        ("a.py", "class A:\n    def handle(self): ...\n"),
        ("a.py", "HTTP_UTILS = 1\n"),
        ("a.py", "def f(process): ...\n"),
        ("a.py", "for common in (): ...\n"),
        ("a.py", "import re as misc\n"),
        ("web/helper.py", ""),
        ("utils/__init__.py", ""),
    ],
)
def test_an_empty_word_is_reported(tmp_path: Path, name: str, text: str) -> None:
    [complaint] = checker.banned_names(plant(tmp_path, {name: text}))
    assert "holds" in complaint


def test_words_are_whole_words(tmp_path: Path) -> None:
    text = "import multiprocessing\n\ndef uncommon(processed, x): x.process(); return handled\n"
    assert checker.banned_names(plant(tmp_path, {"a.py": text})) == []
    assert checker.words("parseHTTPBody_v2") == ["parse", "http", "body", "v", "2"]


def test_size_is_reported(tmp_path: Path) -> None:
    long_function = "def f():\n" + "    x = 1\n" * checker.MAX_FUNCTION_LINES
    long_file = "x = 1\n" * (checker.MAX_FILE_LINES + 1)
    root = plant(tmp_path, {"a.py": long_function, "b.py": long_file, "c.py": "def f(): ...\n"})
    assert [complaint.rsplit(": ", 1)[1] for complaint in checker.oversized(root)] == [
        "f has 61 lines",
        "701 lines",
    ]


def test_a_missing_docstring_is_reported(tmp_path: Path) -> None:
    root = plant(tmp_path, {"a.py": "x = 1\n", "b.py": '"""What b is for."""\n', "c.py": ""})
    assert [Path(complaint.split(":")[0]).name for complaint in checker.undocumented_modules(root)] == ["a.py"]
