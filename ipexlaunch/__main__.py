"""`python -m ipexlaunch` and the `ipexlaunch` script."""

import sys


def main() -> None:
    """Leave with the exit code of the command line."""
    from ipexlaunch.cli.main import main as run

    sys.exit(run())


if __name__ == "__main__":
    main()
