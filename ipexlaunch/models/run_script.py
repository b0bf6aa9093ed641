"""Runs an unchanged script and watches its model's calls: `python -u .../run_script.py [OPTIONS] SCRIPT ARGUMENTS`.

Started by its path, not with -m, so that nothing in the current folder can take the place of a module before the script
has its own sys.path. It starts the built-in workers too: `.../run_script.py -m ipexlaunch.models.run_model JOB`.
"""

import sys

if __name__ == "__main__":
    # This very ipexlaunch is to be imported, whatever else of that name sys.path leads to.
    sys.path.insert(0, __file__.rpartition("/")[0].rpartition("/")[0] + "/worker/import_path")
    import ipexlaunch  # noqa: F401

    del sys.path[0]
    import os

    from ipexlaunch.models.scripts.run_watched import run_watched

    run_watched(sys.argv[1:], os.path.abspath(__file__))
