"""The management API under requests made from its own OpenAPI document, sound ones and broken ones.

Whatever comes, the answer is no fault of ours, errors have the one shape, and what is answered with is what the
document says.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Iterator
from pathlib import Path
from random import Random
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from dragoman.store.accounts.hashing import Hasher
from dragoman.store.accounts.house import house_rules
from dragoman.store.accounts.keyring import KeyRing
from dragoman.store.database import open_database
from dragoman.store.migrate import migrate
from dragoman.store.secrets import Secrets
from dragoman.web.management import management
from tests.web.api.rig import ADMIN_KEY, CIPHER_TEXT, Clock, House, Spent, book, furnish, settings_of

EXAMPLES = 40
PLANTED = "sk-planted"
Result = TypeVar("Result")
Operation = tuple[str, str, dict[str, Any]]

HOSTILE: list[Any] = [
    None, True, -1, 0, 2**63 - 1, 2**63, 2**80, 1e308, -0.5, "", " ", "\x00", "\ud800", "a\nb", "=1+1", "%" * 300,
    "../..", "9" * 5000, "9999-12-31T23:59:59Z", "0001-01-01", [], {}, [[]], {"a": None}, "x" * 2001, "𝕏" * 200,
    "*", "admin", "NaN", "1e999", {"kind": None}, {"in": "1e400", "out": -1}, {"targets": [None]},
]  # fmt: skip
PLAIN = ["glm-4.6", "sonnet", "core", "global", "global", "2026-11-01"]
LOOSE = [{"in": 1, "out": 2}, {"kind": "openai", "api_key": PLANTED}, {"targets": [{"provider": "fake"}]}]
"""What the document calls an object and says no more of: a price, a provider, a route."""


class Fuzzed:
    """The API without a socket around it."""

    def __init__(self, folder: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self.run(self._settle(folder))

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self.loop.run_until_complete(work)

    async def _settle(self, folder: Path) -> None:
        self.database = open_database(f"sqlite:///{folder / 'x.db'}")
        await migrate(self.database)
        said, clock = settings_of(9), Clock()
        secrets = Secrets([CIPHER_TEXT], b"hashing")
        ring = KeyRing(self.database, Hasher(secrets.hash_token), house_rules(said), clock=clock)
        mounts = management(said, self.database, ring, cipher=secrets, clock=clock, attempts=10**9)
        self.api = mounts[0]
        nothing: Any = None
        self.house = House(nothing, 0, self.database, ring, clock, nothing, mounts, {"admin": ADMIN_KEY})
        await self.database.write(lambda connection: furnish(self.house, connection))
        await ring.refresh()
        await book(self.house, *(Spent(who, clock() - 7 * number) for number, who in enumerate(["ann", "zoe", "mia"])))
        self.document = json.loads((await self.ask("GET", "/api/v1/openapi.json", b"", who="root"))[1])
        self.operations: list[Operation] = [
            (method.upper(), path, operation)
            for path, operations in self.document["paths"].items()
            for method, operation in operations.items()
        ]

    async def ask(
        self, method: str, path: str, body: bytes, *, who: str, query: str = "", headers: dict[str, str] | None = None
    ) -> tuple[int, bytes, str]:
        """Status, body and content type."""
        sent = {
            "authorization": f"Bearer {self.house.keys[who]}",
            "content-type": "application/json",
            **(headers or {}),
        }
        scope: dict[str, Any] = {
            "type": "http", "http_version": "1.1", "method": method, "scheme": "http", "path": path,
            "raw_path": quote(path).encode(), "query_string": query.encode("latin-1", "replace"), "root_path": "",
            "headers": [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in sent.items()],
            "client": ("127.0.0.1", 5), "server": ("127.0.0.1", 80),
        }  # fmt: skip
        heard = [{"type": "http.request", "body": body, "more_body": False}]
        got: list[dict[str, Any]] = []

        async def receive() -> Any:
            return heard.pop() if heard else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            got.append(message)

        await self.api(scope, receive, send)
        types = {name.lower(): value for name, value in got[0]["headers"]}
        data = b"".join(message.get("body", b"") for message in got[1:])
        return got[0]["status"], data, types.get(b"content-type", b"").decode()

    def schema_of(self, operation: dict[str, Any], status: int) -> dict[str, Any]:
        """What the document says that an answer looks like."""
        told = operation["responses"][str(status)]
        schema = told.get("content", {}).get("application/json", {}).get("schema", {})
        return {**schema, "components": self.document["components"]}

    def resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in schema:
            schema = self.document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return schema

    def value(self, schema: dict[str, Any], dice: Random, hostile: bool) -> Any:
        """A value of a schema, more or less; if ``hostile``, a piece here and there is anything but."""
        schema = self.resolved(schema)
        if hostile and dice.random() < 0.15:
            return dice.choice(HOSTILE)
        if "anyOf" in schema:
            return self.value(dice.choice(schema["anyOf"]), dice, hostile)
        if "enum" in schema or "const" in schema:
            return dice.choice(schema.get("enum", [schema.get("const")]))
        fields = schema.get("properties", {})
        match schema.get("type"):
            case "integer":
                return dice.randint(1, 8)
            case "boolean":
                return dice.random() < 0.5
            case "null":
                return None
            case "array":
                return [self.value(schema.get("items", {}), dice, hostile) for _ in range(dice.randint(0, 2))]
            case "object" if fields:
                needed = schema.get("required", [])
                said = [name for name in fields if name in needed or dice.random() < 0.4]
                return {name: self.value(fields[name], dice, hostile) for name in said}
            case "object":
                return dice.choice(LOOSE)
            case _:
                return dice.choice(PLAIN)


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuzzed]:
    made = Fuzzed(tmp_path_factory.mktemp("fuzz"))
    yield made
    made.run(made.database.close())
    made.loop.close()


def words(value: Any) -> str:
    """A value as the query or the path writes it."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    return json.dumps(value)


def asked(fuzzed: Fuzzed, operation: Operation, dice: Random) -> dict[str, Any]:
    """A request: what ``Fuzzed.ask`` takes."""
    method, path, about = operation
    hostile = dice.random() < 0.5
    query: list[tuple[str, str]] = []
    headers: dict[str, str] = {}
    for parameter in about.get("parameters", []):
        value = fuzzed.value(parameter["schema"], dice, hostile)
        if parameter["in"] == "path":
            path = path.replace("{" + parameter["name"] + "}", words(value).replace("/", "") or "x")
        elif dice.random() < 0.8:
            continue
        elif parameter["in"] == "header":
            headers[parameter["name"]] = words(value).replace("\n", " ")
        else:
            query += [(parameter["name"], words(one)) for one in (value if isinstance(value, list) else [value])]
    body = b""
    if "requestBody" in about:
        schema = about["requestBody"]["content"]["application/json"]["schema"]
        body = json.dumps(fuzzed.value(schema, dice, hostile)).encode()
        if hostile and dice.random() < 0.2:
            body = dice.choice([body[:-1], b"\xff", b"[" * 9000, b'{"a":NaN}', b"", b'"x"', b"{}"])
    return {"method": method, "path": path, "query": urlencode(query), "body": body, "headers": headers}


def judge(fuzzed: Fuzzed, status: int, body: bytes, kind: str, operation: dict[str, Any]) -> None:
    """Whether an answer is one that the document knows."""
    assert status < 500, body
    if status == 204:
        assert body == b""
        return
    if kind.startswith("text/csv"):
        assert status == 200
        return
    assert kind.startswith("application/json"), (status, kind)
    answer = json.loads(body)
    if status >= 400:
        error = answer["error"]
        assert set(error) == {"code", "message", "details"}
        assert error["message"]
        assert all(set(one) == {"field", "problem"} for one in error["details"])
        return
    assert str(status) in operation["responses"]
    Draft202012Validator(fuzzed.schema_of(operation, status)).validate(answer)


def test_S8_nothing_that_is_asked_for_is_a_fault_of_ours(fuzzed: Fuzzed) -> None:
    reached: set[str] = set()

    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
    @given(st.integers(0, 2**32))
    def ask(seed: int) -> None:
        dice = Random(seed)
        for operation in dice.sample(fuzzed.operations, len(fuzzed.operations)):
            who = dice.choice(["admin"] * 4 + ["root", "mia", "ann", "rex"])
            status, answer, kind = fuzzed.run(fuzzed.ask(**asked(fuzzed, operation, dice), who=who))
            judge(fuzzed, status, answer, kind, operation[2])
            assert PLANTED.encode() not in answer
            if status < 300:
                reached.add(operation[2]["operationId"])

    ask()
    # Who only ever hears no has tried nothing.
    never = {operation["operationId"] for _, _, operation in fuzzed.operations} - reached
    assert len(never) <= 5, sorted(never)


def test_S8_the_document_is_sound(fuzzed: Fuzzed) -> None:
    """https://spec.openapis.org/oas/v3.1.0"""
    ids = [operation["operationId"] for _, _, operation in fuzzed.operations]
    assert len(set(ids)) == len(ids)
    for schema in fuzzed.document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    for method, path, operation in fuzzed.operations:
        parameters = operation.get("parameters", [])
        assert {one["name"] for one in parameters if one["in"] == "path"} == {
            piece[1:-1] for piece in path.split("/") if piece.startswith("{")
        }
        assert all(one["required"] for one in parameters if one["in"] == "path")
        assert len({(one["in"], one["name"]) for one in parameters}) == len(parameters)
        assert method in ("POST", "PUT", "PATCH") or "requestBody" not in operation
        for one in parameters:
            Draft202012Validator.check_schema(one["schema"])
        for told in operation["responses"].values():
            assert told["description"]
