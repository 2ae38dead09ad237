"""The installation's secret: provider keys in the database are sealed with it, short tokens hashed.

The secret stands outside the database, in the configuration or in a file beside it that only its owner can
read: a copy of the database alone opens nothing. ``previous`` secrets still open; what they sealed is sealed
anew at the start. Replicas change it in three rounds: the new one as previous, then the two swapped, then
the old one left out. It must not know what is sealed.

https://cryptography.io/en/latest/fernet/#cryptography.fernet.MultiFernet
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import os
import secrets as random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import Connection, select, update

from dragoman.store.database import Database
from dragoman.store.facts import keep_fact, read_fact, write_fact
from dragoman.store.schema import objects

FILE = "dragoman.secret"
LEAST_CHARACTERS = 32

_LEAST_DIFFERENT = 10
_KNOWN = ("changeme", "change-me", "change_me", "default", "example", "password", "your-", "your_")
_HASHING = "secret.hashing"
"""The fact that holds the key of token hashes, sealed, because it has to outlive a change of the secret."""

_MAKE = "make one with: openssl rand -hex 32"
_FOREIGN = (
    "the database was written with another secret: put its dragoman.secret back beside it, or set DRAGOMAN_SECRET"
    " (and DRAGOMAN_SECRET_PREVIOUS while it changes)"
)


class SecretUnusable(Exception):
    """The installation's secret is missing, weak, or not the one that the database was written with."""


class Cipher:
    """Seals with the first secret, opens with all. Raises SecretUnusable for a weak one."""

    def __init__(self, texts: Sequence[str]) -> None:
        for text in texts:
            check_strength(text)
        self._fernet = MultiFernet([Fernet(_key(text)) for text in texts])

    def __repr__(self) -> str:
        return f"{type(self).__name__}(••••)"

    def seal(self, value: Mapping[str, Any]) -> str:
        """A text that only this installation can open."""
        return self._fernet.encrypt(json.dumps(value, ensure_ascii=False).encode()).decode()

    def open(self, sealed: str) -> dict[str, Any]:
        """The value of a sealed text. Raises SecretUnusable."""
        try:
            value: dict[str, Any] = json.loads(self._fernet.decrypt(sealed))
        except InvalidToken:
            raise SecretUnusable(_FOREIGN) from None
        return value

    def wrap(self, data: bytes) -> bytes:
        """As ``seal``, for bytes."""
        return self._fernet.encrypt(data)

    def unwrap(self, sealed: bytes) -> bytes:
        """The bytes that ``wrap`` was given. Raises SecretUnusable."""
        try:
            return self._fernet.decrypt(sealed)
        except InvalidToken:
            raise SecretUnusable(_FOREIGN) from None

    def reseal(self, sealed: str) -> str:
        """The same value, sealed with the first secret. Raises SecretUnusable."""
        try:
            return self._fernet.rotate(sealed).decode()
        except InvalidToken:
            raise SecretUnusable(_FOREIGN) from None


class Secrets(Cipher):
    """What ``load_secrets`` gives: seals and opens values, and hashes tokens."""

    def __init__(self, texts: Sequence[str], hashing: bytes) -> None:
        super().__init__(texts)
        self._hashing = hashing

    def hash_token(self, token: str) -> str:
        """HMAC-SHA-256 in hexadecimal, for tokens that people chose: without the secret they cannot be guessed."""
        return hmac.new(self._hashing, token.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def check_strength(text: str) -> None:
    """Refuse a secret that is empty, short, monotonous or copied from a manual. Raises SecretUnusable."""
    if len(text.strip()) < LEAST_CHARACTERS or len(set(text)) < _LEAST_DIFFERENT:
        raise SecretUnusable(f"the secret needs {LEAST_CHARACTERS} characters or more, picked at random; {_MAKE}")
    if any(word in text.lower() for word in _KNOWN):
        raise SecretUnusable(f"the secret looks like one from a manual; {_MAKE}")


async def load_secrets(
    database: Database, *, configured: str | None = None, previous: str = "", folder: Path | None = None
) -> Secrets:
    """The secret that is configured, else that of the file in ``folder``, made at the first start.

    ``previous`` are older ones by commas. Without a folder a database in memory gets a passing secret, and
    PostgreSQL is refused. Raises SecretUnusable, StoreUnavailable.
    """
    if configured is not None:
        check_strength(configured)
    known = [text for text in (configured, _read(folder), *_split(previous)) if text]
    if not known:
        known = [await _make(database, folder)]
    texts = list(dict.fromkeys(known))
    return await database.write(lambda connection: _bind(connection, texts))


async def _make(database: Database, folder: Path | None) -> str:
    """The secret of a first start."""
    if await database.read(lambda connection: read_fact(connection, _HASHING)) is not None:
        # Another start may have made both since we looked for the file.
        if made := _read(folder):
            return made
        raise SecretUnusable(_FOREIGN)
    if folder is not None:
        return _written(folder / FILE, random.token_urlsafe(48))
    if database.kind == "postgresql":
        raise SecretUnusable(f"there is no folder to keep a secret in: set DRAGOMAN_SECRET; {_MAKE}")
    return random.token_urlsafe(48)


def _bind(connection: Connection, texts: Sequence[str]) -> Secrets:
    """Check that the secret is the database's, and seal anew what older ones sealed."""
    cipher = Cipher(texts)
    sealed = keep_fact(connection, _HASHING, cipher.seal({"key": random.token_hex(32)}))
    hashing = bytes.fromhex(cipher.open(sealed)["key"])
    if len(texts) > 1:
        write_fact(connection, _HASHING, cipher.reseal(sealed))
        _reseal_objects(connection, cipher)
    return Secrets(texts, hashing)


def _reseal_objects(connection: Connection, cipher: Cipher) -> None:
    query = select(objects.c.kind, objects.c.name, objects.c.secret).where(objects.c.secret.is_not(None))
    for kind, name, secret in connection.execute(query.with_for_update()).all():
        place = (objects.c.kind == kind) & (objects.c.name == name)
        connection.execute(update(objects).where(place).values(secret=cipher.reseal(secret)))


def _key(text: str) -> bytes:
    derived = HKDF(hashes.SHA256(), 32, salt=b"dragoman", info=b"sealed values").derive(text.strip().encode())
    return base64.urlsafe_b64encode(derived)


def _split(texts: str) -> list[str]:
    return [text.strip() for text in texts.split(",") if text.strip()]


def _read(folder: Path | None) -> str | None:
    """The file's secret; None when there is no file. An empty file is refused: a weak secret, not a missing one."""
    if folder is None or not (path := folder / FILE).exists():
        return None
    with contextlib.suppress(OSError):
        path.chmod(0o600)
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SecretUnusable(f"{path} cannot be read: {error.strerror}") from error
    check_strength(text)
    return text


def _written(path: Path, text: str) -> str:
    """Put it into a new file, whole or not at all; what stands there when another was faster."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.{random.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        return _read(path.parent) or text
    except OSError as error:
        raise SecretUnusable(f"{path} cannot be written: {error.strerror}; set DRAGOMAN_SECRET") from error
    finally:
        draft.unlink(missing_ok=True)
    return text
