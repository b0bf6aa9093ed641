"""`python -m ipexlaunch` and the `ipexlaunch` script."""

import sys


def main() -> None:
    """Leave with the exit code of the command line."""
    import gc

    # Nothing that start-up allocates is garbage; looking for it would cost a twentieth of the start.
    gc.disable()
    from ipexlaunch.cli.main import main as run

    sys.exit(run())


if __name__ == "__main__":
    main()
