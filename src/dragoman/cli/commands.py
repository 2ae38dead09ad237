"""The words of the command line and their options; what they do stands in their own files."""

from __future__ import annotations

from typing import Annotated

import typer

program = typer.Typer(
    name="dragoman",
    help="A gateway between AI clients and model providers.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
config_commands = typer.Typer(help="Look at the configuration.", no_args_is_help=True, rich_markup_mode=None)
program.add_typer(config_commands, name="config")

ConfigOption = Annotated[
    str | None,
    typer.Option("--config", metavar="FILE", help="Configuration file (else DRAGOMAN_CONFIG, ./config.yaml)."),
]


@program.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on (else HOST; 127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on (else PORT; 8080). 0 takes a free one.")] = None,
    config: ConfigOption = None,
    reload: Annotated[bool, typer.Option("--reload", help="Start anew when the source changes.")] = False,
) -> None:
    """Run the gateway.

    Examples: `dragoman serve` · `OPENAI_API_KEY=... dragoman serve --port 9000`
    """
    from dragoman.cli.serve import run

    raise typer.Exit(run(config=config, host=host, port=port, reload=reload))


@program.command()
def version() -> None:
    """Print the version.

    Examples: `dragoman version` · `python -m dragoman version`
    """
    from dragoman import __version__

    typer.echo(__version__)


@config_commands.command()
def check(
    config: ConfigOption = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings and missing keys count as errors.")] = False,
) -> None:
    """Read and check the configuration without starting anything.

    Examples: `dragoman config check` · `dragoman config check --config config.yaml --strict`
    """
    from dragoman.cli.config import run_check

    raise typer.Exit(run_check(config=config, strict=strict))


@config_commands.command()
def show(
    config: ConfigOption = None,
    every: Annotated[bool, typer.Option("--all", help="Show defaults too.")] = False,
    origin: Annotated[bool, typer.Option("--origin", help="Show what was overruled, too.")] = False,
) -> None:
    """Print every value that is not a default, and where it comes from. Secrets are dots.

    Examples: `dragoman config show` · `dragoman config show --all --origin`
    """
    from dragoman.cli.config import run_show

    raise typer.Exit(run_show(config=config, every=every, candidates=origin))
