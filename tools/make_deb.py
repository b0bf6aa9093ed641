#!/usr/bin/env python3
"""Makes a Debian package of ipexlaunch with the distribution's own Python: dist/ipexlaunch_VERSION_ARCH.deb.

    python3 tools/make_deb.py                       # for the Python of this distribution, /usr/bin/python3
    python3 tools/make_deb.py --python /usr/bin/python3.12

The package holds a virtual environment, /opt/ipexlaunch, with the wheel and what it needs: Debian 12 and Ubuntu 24.04
have a pydantic that is too old. It therefore needs the minor version of Python that it was made with; make it on the
release where it is to be installed. pip is in it, so that what an extra needs can be added. Needs dpkg-deb, and pip and
build beside the Python that runs this (make env-package). DEBFULLNAME and DEBEMAIL name the maintainer, as for dch.
"""

from __future__ import annotations

import argparse
import gzip
import os
import pwd
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
PLACE = "/opt/ipexlaunch"

CONTROL = """\
Package: ipexlaunch
Version: {version}
Architecture: {architecture}
Maintainer: {maintainer}
Installed-Size: {size_kib}
Depends: python3 (>= {python}), python3 (<< {next_python}), libc6
Suggests: numactl
Section: science
Priority: optional
Description: {summary}
 ipexlaunch splits a server into NUMA-true slices, starts one pinned, memory-bound
 inference process on each, proves that the pinning took effect, and reports one
 aggregate throughput. It is a maintained successor of ipexrun.
 .
 It stands in /opt/ipexlaunch. What an extra needs is added there:
 /opt/ipexlaunch/bin/python -m pip install 'ipexlaunch[report]'
"""

POSTINST = f"""\
#!/bin/sh
set -e
if [ "$1" = configure ]; then {PLACE}/bin/python -m compileall -q {PLACE}/lib || true; fi
"""

PRERM = f"""\
#!/bin/sh
set -e
find {PLACE} -name __pycache__ -type d -prune -exec rm -rf {{}} +
"""

POSTRM = f"""\
#!/bin/sh
set -e
if [ "$1" = purge ]; then rm -rf {PLACE}; fi
"""


def stop(text: str) -> NoReturn:
    """End with one line."""
    print("deb: " + text, file=sys.stderr)
    raise SystemExit(1)


def run(*words: str | Path) -> str:
    """Run a command; what it printed.

    Raises:
        SystemExit: it fails; its last lines are printed.
    """
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    if done.returncode:
        print("\n".join((done.stdout + done.stderr).splitlines()[-12:]), file=sys.stderr)
        stop(f"{' '.join(map(str, words))} failed (exit {done.returncode})")
    return done.stdout.strip()


def debian_version(version: str) -> str:
    """A version of Python's packages as Debian orders them: 0.2.0.dev0 comes before 0.2.0."""
    return re.sub(r"\.?(dev|rc|a|b)(\d+)", r"~\1\2", version)


def fill(stage: Path, python: str, wheel: Path) -> None:
    """Put the environment and its documents into the tree that becomes the package."""
    place = stage / PLACE[1:]
    run(python, "-m", "venv", "--without-pip", place)
    run(sys.executable, "-m", "pip", "--python", place / "bin/python", "install", "--no-compile", "pip", wheel)
    for path in [*(place / "bin").iterdir(), place / "pyvenv.cfg"]:
        content = b"" if path.is_symlink() else path.read_bytes()
        if os.fsencode(place) in content and b"\0" not in content:
            path.write_bytes(content.replace(os.fsencode(place), PLACE.encode()))
    for path in place.rglob("__pycache__"):
        shutil.rmtree(path)
    # Where it came from is a folder of this build.
    for path in place.glob("lib/python3*/site-packages/ipexlaunch-*.dist-info/direct_url.json"):
        path.unlink()
    (stage / "usr/bin").mkdir(parents=True)
    (stage / "usr/bin/ipexlaunch").symlink_to(PLACE + "/bin/ipexlaunch")
    for name in ("man", "bash-completion", "zsh", "fish"):
        if (place / "share" / name).is_dir():
            shutil.copytree(place / "share" / name, stage / "usr/share" / name)
    documents = stage / "usr/share/doc/ipexlaunch"
    documents.mkdir(parents=True)
    shutil.copy2(ROOT / "LICENSE", documents / "copyright")
    changes = (ROOT / "CHANGELOG.md").read_bytes()
    (documents / "changelog.gz").write_bytes(gzip.compress(changes, mtime=0))


def main() -> None:
    """Build the wheel, fill the tree, pack it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--python", default="/usr/bin/python3", metavar="PATH", help="the distribution's (default: %(default)s)"
    )
    python = parser.parse_args().python
    if shutil.which("dpkg-deb") is None:
        stop("there is no dpkg-deb here: apt-get install dpkg")
    if not os.access(python, os.X_OK):
        stop(f"there is no {python} here: apt-get install python3")
    minor = run(python, "-c", "import sys; print('%d %d' % sys.version_info[:2])").split()
    if (int(minor[0]), int(minor[1])) < (3, 10):
        stop(f"{python} is Python {'.'.join(minor)}, ipexlaunch needs 3.10 or later")
    with tempfile.TemporaryDirectory(prefix="ipexlaunch-deb-") as folder:
        stage = Path(folder, "stage")
        stage.mkdir(mode=0o755)
        run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT)
        wheel = next(Path(folder).glob("*.whl"))
        os.umask(0o022)
        fill(stage, python, wheel)
        version, architecture = debian_version(wheel.name.split("-")[1]), run("dpkg", "--print-architecture")
        me = pwd.getpwuid(os.getuid())
        name = os.environ.get("DEBFULLNAME", me.pw_gecos.split(",")[0] or me.pw_name)
        control = CONTROL.format(
            version=version,
            architecture=architecture,
            maintainer=f"{name} <{os.environ.get('DEBEMAIL', f'{me.pw_name}@{socket.gethostname()}')}>",
            size_kib=sum(path.lstat().st_size for path in stage.rglob("*")) // 1024,
            python=".".join(minor),
            next_python=f"{minor[0]}.{int(minor[1]) + 1}",
            summary="NUMA-true, pinned, measured multi-instance CPU inference",
        )
        (stage / "DEBIAN").mkdir()
        (stage / "DEBIAN/control").write_text(control, encoding="utf-8")
        for script, text in (("postinst", POSTINST), ("prerm", PRERM), ("postrm", POSTRM)):
            (stage / "DEBIAN" / script).write_text(text, encoding="utf-8")
            (stage / "DEBIAN" / script).chmod(0o755)
        (ROOT / "dist").mkdir(exist_ok=True)
        made = ROOT / "dist" / f"ipexlaunch_{version}_{architecture}.deb"
        run("dpkg-deb", "--root-owner-group", "--build", stage, made)
    print(f"deb: {made.relative_to(ROOT)}, {made.stat().st_size / 1e6:.0f} MB, for Python {'.'.join(minor)}")


if __name__ == "__main__":
    main()
