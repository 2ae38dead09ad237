"""The command line: one file per command, each importing its work only when it runs.

Data goes to standard output, words to standard error. Exit codes: 0 done, 1 the answer is no,
2 wrong use or configuration, 3 something is unreachable, 130 interrupted.
"""


def main() -> None:
    """The entry point of the ``dragoman`` program."""
    from dragoman.cli.commands import program

    program()
