"""``python -m dragoman``: the command line; without a command it serves."""

import sys

from dragoman.cli import main

if __name__ == "__main__":
    words = sys.argv[1:]
    if not words or (words[0].startswith("-") and words[0] not in ("--help", "--version")):
        sys.argv.insert(1, "serve")
    main()
