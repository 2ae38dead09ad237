"""A network that can be cut: stands before a PostgreSQL server's Unix socket."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

_NAME = ".s.PGSQL.5432"


class Proxy:
    """Passes everything on, until told otherwise. ``folder`` takes the place of the server's."""

    def __init__(self, server: Path, folder: Path) -> None:
        self.folder = folder
        self.silent = False
        self.cut_after = b""
        """Once the client has sent this, nothing comes back and the connection ends."""
        self._server = server
        self._listener: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Proxy:
        self._listener = await asyncio.start_unix_server(self._accept, self.folder / _NAME)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._listener is not None
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream = await asyncio.open_unix_connection(self._server / _NAME)
        cut = asyncio.Event()
        ways = [self._forth(reader, upstream[1], cut), self._back(upstream[0], writer, cut)]
        tasks = [asyncio.create_task(way) for way in ways]
        self._tasks.update(tasks)
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for end in (writer, upstream[1]):
            end.close()
        for task in tasks:
            task.cancel()

    async def _forth(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cut: asyncio.Event) -> None:
        while data := await reader.read(65536):
            if self.silent:
                continue
            if self.cut_after and self.cut_after in data:
                cut.set()
            with contextlib.suppress(OSError):
                writer.write(data)
                await writer.drain()

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cut: asyncio.Event) -> None:
        while data := await reader.read(65536):
            if cut.is_set():
                return
            if not self.silent:
                writer.write(data)
                await writer.drain()
