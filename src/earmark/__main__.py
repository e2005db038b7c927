"""`python -m earmark`: the command line, where the `earmark` script is not on PATH."""

import sys

from earmark.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
