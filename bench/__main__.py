"""Runs the benchmark: ``python -m bench``. Rounds are interleaved; ratios are to nginx in the same run."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import candidates, machine
from bench.candidates import DIRECT, DRAGOMAN, NGINX, Candidate
from bench.driver import Order, Result
from bench.scenes import SCENES, Scene

PROJECT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Running:
    """A candidate that is up."""

    candidate: Candidate
    port: int
    pid: int


def ask(server: Running, scene: Scene, seconds: float, parallel: int) -> tuple[Result, float]:
    """Let the driver work, in a task of its own; return its result and the server's CPU seconds."""
    request = server.candidate.request(scene, server.port).decode("latin-1")
    order = json.dumps(asdict(Order(server.port, request, parallel, seconds)))
    command = machine.pinned([sys.executable, "-m", "bench.driver"], machine.LOAD_CORE)
    before = machine.cpu_seconds(server.pid)
    done = subprocess.run(command, input=order, capture_output=True, text=True, cwd=PROJECT, timeout=120, check=False)
    spent = machine.cpu_seconds(server.pid) - before
    if done.returncode != 0:
        raise RuntimeError(f"the driver failed: {done.stderr[-1000:]}")
    return Result(**json.loads(done.stdout)), spent


def check(server: Running) -> None:
    """Ask once per scene and compare with what the upstream said."""
    for scene in SCENES:
        result, _ = ask(server, scene, 0.0, 1)
        if result.answers != 1:
            raise AssertionError(f"{server.candidate.name}, {scene.name}: no answer\n{result.last[:1000]}")
        server.candidate.check(scene, result.last)


def measure(servers: list[Running], rounds: int, seconds: float) -> dict[tuple[str, str], list[float]]:
    """Measure µs per unit, scene by scene, the servers taking turns."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for _ in range(rounds):
        for scene in SCENES:
            for server in servers:
                result, spent = ask(server, scene, seconds, scene.parallel)
                name = server.candidate.name
                if result.failures or not result.answers:
                    raise AssertionError(f"{name}, {scene.name}: {result.failures} failures\n{result.last[:600]}")
                found[name, scene.name].append(spent * 1e6 / (result.answers * scene.per))
                print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return found


def report(found: dict[tuple[str, str], list[float]], servers: list[Running], limit: str) -> None:
    """Print absolute figures and the ratio to the limit."""
    names = [server.candidate.name for server in servers]
    heads = "".join(f"{name:>12}" for name in names)
    print(f"{'CPU-µs of the server (median of rounds)':44}{heads}{'ratio':>9}")
    for scene in SCENES:
        medians = {name: statistics.median(found[name, scene.name]) for name in names}
        row = f"{scene.title + ', per ' + scene.unit:44}" + "".join(f"{medians[name]:>12.1f}" for name in names)
        ours, floor = medians.get(DRAGOMAN.name), medians[limit]
        print(row + (f"{ours / floor:>8.1f}×" if ours is not None and floor else ""))
    print(f"\nThe ratio is dragoman to {limit}, measured in the same run; absolute figures differ between machines.")


@contextlib.contextmanager
def running(folder: Path, ports: tuple[int, int, int]) -> Iterator[tuple[list[Running], str]]:
    """Start the upstream and the candidates; stop them all at the end."""
    with contextlib.ExitStack() as stack:
        own = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(PROJECT)}
        command = [sys.executable, "-m", "bench.upstream", str(ports[0])]
        upstream = stack.enter_context(machine.Program(command, ports[0], machine.LOAD_CORE, folder, own))
        upstream.wait_until_listening()
        limit = Running(DIRECT, ports[0], upstream.pid)
        nginx = candidates.nginx_command(folder, ports[1], ports[0])
        if nginx is None:
            print("nginx is not on PATH (Debian: apt install nginx); ratios are to the upstream's own CPU instead.\n")
        else:
            program = stack.enter_context(machine.Program(nginx, ports[1], machine.SERVER_CORE, folder, own))
            program.wait_until_listening()
            limit = Running(NGINX, ports[1], program.pid)
        env = candidates.dragoman_environment(folder)
        gateway = candidates.dragoman_command(folder, ports[2], ports[0])
        program = stack.enter_context(machine.Program(gateway, ports[2], machine.SERVER_CORE, folder, env))
        ready = program.wait_until_listening()
        ours = Running(DRAGOMAN, ports[2], program.pid)
        check(limit)
        started = time.monotonic()
        try:
            check(ours)
        except AssertionError as wrong:
            raise AssertionError(f"{wrong}\n\nThe gateway's log ends:\n{program.last_words()}") from wrong
        print(f"answers are right (checked in {time.monotonic() - started:.1f} s)")
        print(f"dragoman: listened after {ready:.2f} s, resident {machine.memory_mib(program.pid):.0f} MiB\n")
        yield [limit, ours], limit.candidate.name
        print(f"resident after the run: {machine.memory_mib(program.pid):.0f} MiB")


def main() -> int:
    """Read the options, run, print."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each measurement")
    parser.add_argument("--ports", type=int, nargs=3, default=(18_481, 18_482, 18_483))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dragoman-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        try:
            with running(folder, tuple(options.ports)) as (servers, limit):
                report(measure(servers, options.rounds, options.seconds), servers, limit)
        except (machine.NotReady, AssertionError, RuntimeError) as problem:
            print(f"bench: {problem}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
