"""Where the database is (compat §6), and what happens where it cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from dragoman.cli.commands import program
from dragoman.store import places
from dragoman.store.errors import StoreUnavailable
from dragoman.store.opening import open_store
from dragoman.store.places import MEMORY, find_place, is_writable


@pytest.fixture
def read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that cannot be written, whoever we are."""
    folder = tmp_path / "read-only"
    folder.mkdir()
    monkeypatch.setattr(places, "is_writable", lambda asked: asked != folder and is_writable(asked))
    return folder


def test_the_order_of_places(tmp_path: Path) -> None:
    here, data, older = tmp_path / "here", tmp_path / "app-data", tmp_path / "data"
    for folder in (here, older):
        folder.mkdir()
    found = (data, older)

    def url(database: str = "", folder: str = "") -> str:
        return find_place(database, folder, here=here, found=found).url

    assert url("/x/named.db", "/elsewhere") == "sqlite:////x/named.db"
    assert url("named.db", "/elsewhere") == f"sqlite:///{here}/named.db"
    assert url(str(older)) == f"sqlite:///{older}/dragoman.db"
    assert url("sqlite:///named.db") == f"sqlite:///{here}/named.db"
    assert url("postgres://me@db/x") == "postgres://me@db/x"
    assert url("", str(tmp_path / "own")) == f"sqlite:///{tmp_path}/own/dragoman.db"
    assert url() == f"sqlite:///{older}/dragoman.db"
    data.mkdir()
    assert url() == f"sqlite:///{data}/dragoman.db"
    assert find_place(here=here, found=()).url == f"sqlite:///{here}/dragoman.db"


def test_T_51_read_only_working_directory_is_memory_with_one_warning(read_only: Path) -> None:
    place = find_place(here=read_only, found=())
    assert (place.url, place.folder) == (MEMORY, None)
    assert str(read_only) in place.warning
    assert "DRAGOMAN_DB" in place.warning
    assert "\n" not in place.warning


@pytest.mark.parametrize(
    "words", [("db", "migrate"), ("backup", "a.backup"), ("restore", "a.backup"), ("import", "--chat-azure", "x.db")]
)
def test_no_command_works_on_memory_in_vain(
    words: tuple[str, ...], read_only: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(read_only)
    monkeypatch.delenv("DRAGOMAN_DB", raising=False)
    monkeypatch.setattr(places, "FOUND_FOLDERS", ())
    done = CliRunner().invoke(program, list(words))
    assert (done.exit_code, done.stdout) == (2, "")
    assert "name a place with DRAGOMAN_DB" in done.stderr


async def test_T_51_read_only_working_directory_starts(read_only: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(read_only)
    monkeypatch.setattr(places, "FOUND_FOLDERS", ())
    store = await open_store()
    assert store.place.warning
    assert store.secrets.open(store.secrets.seal({"a": 1})) == {"a": 1}
    await store.database.close()
    assert list(read_only.iterdir()) == []


def test_a_named_place_is_never_replaced(read_only: Path) -> None:
    assert find_place("", str(read_only), found=()).url == f"sqlite:///{read_only}/dragoman.db"
    assert find_place(str(read_only / "x.db"), found=()).url == f"sqlite:///{read_only}/x.db"


def test_a_database_that_cannot_be_written_is_not_passed_over(read_only: Path) -> None:
    (read_only / "dragoman.db").touch()
    with pytest.raises(StoreUnavailable, match="is there"):
        find_place(here=read_only, found=())


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc, the one folder that even root cannot write")
def test_writable_is_tried(tmp_path: Path) -> None:
    assert is_writable(tmp_path)
    assert not is_writable(Path("/proc/self"))
    assert not is_writable(tmp_path / "nowhere")


def test_T_60_what_is_shown_holds_no_password() -> None:
    place = find_place("postgresql://me:canary-1@db.example/dragoman", found=())
    assert "canary-1" in place.url
    assert "canary-1" not in place.shown
    assert "db.example/dragoman" in place.shown
    assert find_place("/x/a.db").shown == "/x/a.db"
