"""The words of the command line and their options; what they do stands in their own files."""

from __future__ import annotations

from pathlib import Path
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
database_commands = typer.Typer(help="Look after the database.", no_args_is_help=True, rich_markup_mode=None)
program.add_typer(database_commands, name="db")

ConfigOption = Annotated[
    str | None,
    typer.Option(
        "--config", metavar="FILE", help="Configuration file (else DRAGOMAN_CONFIG, ./config.yaml, /opt/config.yaml)."
    ),
]


def _print_version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@program.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """A gateway between AI clients and model providers."""


@program.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on (else HOST; 127.0.0.1).")] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on (else PORT, or the preset's). 0 takes a free one.")
    ] = None,
    config: ConfigOption = None,
    reload: Annotated[bool, typer.Option("--reload", help="Start anew when the source changes.")] = False,
) -> None:
    """Run the gateway.

    Examples: `dragoman serve` · `OPENAI_API_KEY=... dragoman serve --port 9000`
    """
    import gc

    gc.disable()  # what a start makes stays; on again when it serves
    from dragoman.cli.serve import run

    raise typer.Exit(run(config=config, host=host, port=port, reload=reload))


@program.command()
def version() -> None:
    """Print the version.

    Examples: `dragoman version` · `python -m dragoman version`
    """
    from dragoman import __version__

    typer.echo(__version__)


@program.command("import")
def bring_in(
    chat_azure: Annotated[
        Path | None, typer.Option("--chat-azure", metavar="FILE", help="chat_azure's chat.db.")
    ] = None,
    infiniproxy: Annotated[
        Path | None, typer.Option("--infiniproxy", metavar="FILE", help="infiniproxy's proxy_users.db.")
    ] = None,
    merge: Annotated[
        bool, typer.Option("--merge", help="Join users of one name instead of renaming the second.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Bring in users, keys and usage of an earlier proxy. Its file is only read; twice does nothing more.

    Examples: `dragoman import --chat-azure chat.db` · `dragoman import --infiniproxy proxy_users.db --merge`
    """
    from dragoman.cli.importing import run_import

    raise typer.Exit(run_import(config=config, chat_azure=chat_azure, infiniproxy=infiniproxy, merge=merge))


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


@program.command()
def backup(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A new file.")],
    config: ConfigOption = None,
) -> None:
    """Write the database into one file. The server may go on working: the file is one state of it.

    The file is a SQLite database whichever engine is used; the installation's secret is not in it.

    Examples: `dragoman backup monday.backup` · `DRAGOMAN_DB=postgresql://me@host/db dragoman backup monday.backup`
    """
    from dragoman.cli.data import run_backup

    raise typer.Exit(run_backup(config=config, file=file))


@program.command()
def restore(
    file: Annotated[str, typer.Argument(metavar="FILE", help="What `dragoman backup` wrote.")],
    config: ConfigOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, change nothing.")] = False,
) -> None:
    """Put a backup in the place of the database. The server has to be stopped; what was there is kept beside it.

    Examples: `dragoman restore monday.backup --dry-run` · `dragoman restore monday.backup`
    """
    from dragoman.cli.data import run_restore

    raise typer.Exit(run_restore(config=config, file=file, dry_run=dry_run))


@database_commands.command("copy")
def copy_database(
    source: Annotated[str, typer.Argument(metavar="FROM", help="A file, or postgresql://user@host/name.")],
    target: Annotated[str, typer.Argument(metavar="TO", help="Likewise; has to be empty.")],
) -> None:
    """Copy one database into another, between SQLite and PostgreSQL too, and compare all sums.

    A password that is not in the address is taken from PGPASSWORD or ~/.pgpass.

    Examples: `dragoman db copy dragoman.db postgresql://me@host/dragoman`
    """
    from dragoman.cli.data import run_copy

    raise typer.Exit(run_copy(source=source, target=target))


@database_commands.command()
def migrate(config: ConfigOption = None) -> None:
    """Bring the database to this release's schema, as every start does.

    Examples: `dragoman db migrate`
    """
    from dragoman.cli.data import run_migrate

    raise typer.Exit(run_migrate(config=config))
