#!/usr/bin/env python3
"""Make one of the virtual environments that the Makefile uses, or do nothing where it is up to date.

    python3 tools/make_environment.py test   # .venv: the launcher, the tests' and the checks' tools
    python3 tools/make_environment.py ipex   # .venv-ipex: the launcher with the `ipex` extra and a packaged model
    python3 tools/make_environment.py torch  # .venv-torch: the same with the `torch` extra
    python3 tools/make_environment.py light  # .venv-light: the launcher, OpenVINO and the model, without torch
    python3 tools/make_environment.py ray    # .venv-ray: the launcher and Ray, for `shards submit --engine ray`
    python3 tools/make_environment.py peers  # .venv-peers: other engines, for benchmarks/engines.py and examples/
    python3 tools/make_environment.py package  # .venv-package: what builds, checks and tries packages

Standard library only, and readable by Python 3.7, so that it can say what is missing. Every slow step is announced
with its time and size. A stamp file holds the hash of what the environment was made from: unchanged means nothing to
do (no network is needed), changed means an update in place. A new one, also one for another Python and one in the place
of a broken one, is made beside the old one (.venv.new) and takes its place when it is complete: what works goes on
working until then, and for ever where there is no network or no room.
What is installed is the wheel, as users have it. Another stamp holds the hash of its sources: where only they have
changed, the wheel is built once for all environments and installed again, without its dependencies or the network.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = (3, 10)
NEWEST_PYTHON_OF_IPEX = (3, 13)
"""intel-extension-for-pytorch 2.8.0, the last release, has wheels for CPython 3.9 to 3.13, x86_64 only."""

OLDEST_PIP = "25.1"
"""The first pip with --group (PEP 735)."""

BUILT_FROM = (
    "pyproject.toml", "README.md", "LICENSE", "tools/build_hook.py", "tools/make_man_pages.py", "docs/report.md",
)  # fmt: skip
"""What the wheel is made from, beside the package."""

BACKEND = ("hatchling", "click")
"""What pyproject.toml builds the wheel with; in each environment, so that building it again needs no network."""

REPORT_EVERY_S = 15.0

FOLDERS = {
    "test": ".venv",
    "ipex": ".venv-ipex",
    "light": ".venv-light",
    "torch": ".venv-torch",
    "peers": ".venv-peers",
    "package": ".venv-package",
    "ray": ".venv-ray",
}

NEEDED_GB = {"test": 1.3, "light": 1, "torch": 5, "ipex": 12, "peers": 5, "package": 0.4, "ray": 1}
"""Room that an installation takes at its peak: the downloads beside what is unpacked from them."""

NEEDED_WITH_INDEX_GB = 3
"""The same of those with torch where torch comes from an index that has it without libraries for GPUs."""

NO_NETWORK = (
    "NewConnectionError",
    "NameResolutionError",
    "ConnectTimeoutError",
    "Failed to establish a new connection",
    "ProxyError",
)
"""Words of pip where no package index answers."""

CPU_INDEX = "https://download.pytorch.org/whl/cpu"

TESTED_TORCH = "torch==2.13.0"
"""The release of upstream torch that the project's figures are measured with."""

LLAMA_CPP = "llama_cpp_python-0.3.36"
"""The source package whose vendored llama.cpp is built: its repository cannot be had from a package index."""

LLAMA_PROGRAMS = ("llama-bench", "llama-batched-bench", "llama-quantize", "llama-server")


def say(text: str) -> None:
    """Print one line of what is being done."""
    print("environment: " + text, flush=True)


def stop(text: str) -> NoReturn:
    """End with one line that says what is there and what would work."""
    print("environment: " + text, file=sys.stderr, flush=True)
    raise SystemExit(2)


def main() -> None:
    """Bring the named environment up to date."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=sorted(FOLDERS))
    parser.add_argument("--torch-index", default="", metavar="URL", help="take torch from this package index")
    parser.add_argument(
        "--optional", action="store_true", help="where no wheels exist for this machine, say so and exit 0"
    )
    options = parser.parse_args()
    folder = ROOT / FOLDERS[options.name]
    problem = unsupported(options.name)
    if problem and options.optional:
        say(problem + f"; the tests marked `{options.name}` will be skipped")
        return
    if problem:
        stop(problem)
    wanted = recipe_hash()
    stamp, marker = folder / ".made-from", folder / ".unfinished"
    answers = python_of(folder) == sys.version.strip() and not marker.exists()
    if answers and stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        install_wheel(folder)
        return
    started = time.monotonic()
    if answers and stamp.is_file():
        marker.touch()
        install(options.name, folder, options.torch_index)
        install_wheel(folder)
        shutil.rmtree(str(folder / "tmp"), ignore_errors=True)
        stamp.write_text(wanted, encoding="utf-8")
        marker.unlink()
    else:
        make_anew(options.name, folder, options.torch_index, wanted)
    say(f"{folder.name} is ready after {time.monotonic() - started:.0f} s")


def make_anew(name: str, folder: Path, torch_index: str, stamp: str) -> None:
    """Make the environment beside the place where it belongs, and put it there when it is complete.

    Args:
        name: of the environment.
        folder: where it belongs; what is there stays as it is until the new one is complete.
        torch_index: another package index for torch.
        stamp: what it is made from.
    """
    new, old = folder.with_name(folder.name + ".new"), folder.with_name(folder.name + ".old")
    if folder.exists():
        found = python_of(folder)
        why = f"has Python {found.split()[0]}, this is {platform.python_version()}" if found else "is broken"
        if found == sys.version.strip():
            why = "is unfinished"
        say(f"{folder.name} {why}: making it again beside it")
    for left in (new, old):
        shutil.rmtree(str(left), ignore_errors=True)
    check_space(name, folder, torch_index)
    create(new)
    install(name, new, torch_index)
    install_wheel(new)
    shutil.rmtree(str(new / "tmp"), ignore_errors=True)
    (new / ".made-from").write_text(stamp, encoding="utf-8")
    if folder.exists() or folder.is_symlink():
        folder.rename(old)
    new.rename(folder)
    tell_new_place(folder, str(new))
    if old.is_symlink():
        old.unlink()
    shutil.rmtree(str(old), ignore_errors=True)


def tell_new_place(folder: Path, former: str) -> None:
    """Put the environment's present path into its scripts, which hold the one where they were installed."""
    scripts = [path for path in (folder / "bin").iterdir() if path.is_file() and not path.is_symlink()]
    for path in (*scripts, folder / "pyvenv.cfg"):
        content = path.read_bytes() if path.is_file() else b""
        if os.fsencode(former) in content and b"\0" not in content:
            path.write_bytes(content.replace(os.fsencode(former), os.fsencode(str(folder))))


def unsupported(name: str) -> str:
    """What keeps this machine from having the environment, in one line; empty where nothing does."""
    here = ".".join(platform.python_version_tuple()[:2])
    if sys.version_info < OLDEST_PYTHON:
        return f"Python {here} is too old, ipexlaunch needs 3.10 or later: make ... PYTHON=python3.11"
    if name == "ipex" and platform.machine() not in ("x86_64", "AMD64"):
        return f"IPEX 2.8 has wheels for x86_64 only, this machine is {platform.machine()}"
    if name == "ipex" and sys.version_info[:2] > NEWEST_PYTHON_OF_IPEX:
        return f"IPEX 2.8 has wheels for Python 3.10 to 3.13, this is {here}: make ... PYTHON=python3.13"
    if name == "peers" and sys.version_info < (3, 11):
        return f"onnxruntime 1.32 needs Python 3.11 or later, this is {here}: make ... PYTHON=python3.11"
    return ""


def recipe_hash() -> str:
    """A hash of everything that an environment is made from."""
    recipe = hashlib.sha256(sys.version.encode())
    for part in (ROOT / "pyproject.toml", Path(__file__)):
        recipe.update(part.read_bytes())
    recipe.update(str(ROOT).encode())  # scripts of an environment hold its path
    return recipe.hexdigest()


def sources_hash() -> str:
    """A hash of everything that the wheel is made from."""
    sources = hashlib.sha256()
    files = [ROOT / name for name in BUILT_FROM]
    for name in ("ipexlaunch", "topologies"):
        files += [path for path in (ROOT / name).rglob("*") if "__pycache__" not in path.parts]
    for path in sorted(path for path in files if path.is_file()):
        sources.update(f"{path.relative_to(ROOT)} {path.stat().st_size}\n".encode())
        sources.update(path.read_bytes())
    return sources.hexdigest()


def wheel(folder: Path) -> Path:
    """The wheel of the sources as they are, built by an environment that has the build backend, where it is not yet."""
    place = ROOT / "build/wheels" / sources_hash()[:16]
    if not list(place.glob("*.whl")):
        if place.parent.exists():
            shutil.rmtree(str(place.parent))
        building = place.with_name(place.name + ".part")
        say("building the wheel (about 3 seconds)")
        pip(folder, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(building), ".")
        building.rename(place)
    return next(place.glob("*.whl"))


def install_wheel(folder: Path) -> None:
    """Put the wheel of the sources as they are into the environment, where it is not there; its dependencies are."""
    stamp = folder / ".installed"
    wanted = sources_hash()
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return
    built = wheel(folder)
    say(f"installing {built.name} into {folder.name}")
    pip(folder, "install", "--no-deps", "--force-reinstall", str(built))
    stamp.write_text(wanted, encoding="utf-8")


def python_of(folder: Path) -> str:
    """The version, as sys.version has it, of the environment's interpreter; empty where it does not start."""
    question = "import sys; print(sys.version)"
    try:
        answer = subprocess.run([str(folder / "bin/python"), "-c", question], stdout=subprocess.PIPE, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return answer.stdout.decode().strip()


def check_space(name: str, folder: Path, torch_index: str) -> None:
    """End where the disk has too little room for what would be downloaded and unpacked."""
    size = NEEDED_WITH_INDEX_GB if torch_index and name in ("torch", "ipex", "peers") else NEEDED_GB[name]
    free = shutil.disk_usage(str(ROOT)).free / 1e9
    if size > free:
        kept = f"; {folder.name} is as it was" if folder.exists() else ""
        stop(f"{folder.name} needs {size:g} GB to install, {free:.1f} GB are free on the disk of {ROOT}{kept}")


def create(folder: Path) -> None:
    """Make the empty environment, with Debian's separate venv package where it is missing and can be installed."""
    if importlib.util.find_spec("ensurepip") is None:
        package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
        own = sys.executable.startswith("/usr/bin/") and shutil.which("apt-get") is not None
        if not own or os.geteuid() != 0:
            stop(f"this Python has no ensurepip module, venv needs it: sudo apt-get install {package}")
        say(f"this Python has no ensurepip module: installing {package} with apt-get (about 20 seconds)")
        logged(folder.with_name("apt-get.log"), ["apt-get", "update"])
        logged(folder.with_name("apt-get.log"), ["apt-get", "install", "-y", "--no-install-recommends", package])
        folder.with_name("apt-get.log").unlink()
    say(f"creating {folder.name} with Python {platform.python_version()}")
    folder.mkdir()
    logged(folder / "install.log", [sys.executable, "-m", "venv", str(folder)])


def install(name: str, folder: Path, torch_index: str) -> None:
    """Install what the environment is for, one announced step after the other."""
    if (folder / ".made-from").exists():
        say(f"pyproject.toml has changed: bringing {folder.name} up to date")
    elif name == "test":
        say("installing the launcher and the tools of tests and checks into .venv: 1 to 3 minutes and 0.9 GB")
    pip(folder, "install", "--retries", "1", "--upgrade", "pip>=" + OLDEST_PIP, *BACKEND)
    if name == "test":
        pip(folder, "install", str(wheel(folder)), "--group", "test", "--group", "lint", "--group", "docs")
        return
    if name == "package":
        if not (folder / ".made-from").exists():
            say("installing build, twine, uv and pipx into .venv-package: about 20 seconds and 0.1 GB")
        pip(folder, "install", "--group", "package")
        return
    if name == "light":
        if not (folder / ".made-from").exists():
            say("installing OpenVINO and the all-MiniLM-L6-v2 model into .venv-light: about 20 seconds and 0.4 GB")
        pip(folder, "install", str(wheel(folder)), "--group", "light")
        pip(folder, "install", "--no-deps", "--group", "model", "--group", "model-files")
        return
    if name == "ray":
        if not (folder / ".made-from").exists():
            say("installing the launcher and Ray's core into .venv-ray: about 20 seconds and 0.4 GB")
        pip(folder, "install", f"{wheel(folder)}[ray]")
        return
    if name == "peers":
        install_peers(folder, torch_index)
        return
    if name == "torch":
        if not (folder / ".made-from").exists():
            say("installing torch 2.13, OpenVINO and transformers into .venv-torch: about 1 minute and 1.7 GB")
            say("  (7 GB where the package index has only the build for GPUs: make ... TORCH_INDEX=" + CPU_INDEX + ")")
        pip(folder, "install", *(("--index-url", torch_index) if torch_index else ()), TESTED_TORCH)
        pip(folder, "install", f"{wheel(folder)}[torch,openvino]", TESTED_TORCH, "--group", "server")
        pip(folder, "install", "--no-deps", "--group", "model")
        return
    if (folder / ".made-from").exists():
        torch_index = ""  # torch is there already, wherever it came from
    elif torch_index:
        say(f"installing torch 2.8 from {torch_index}: about 1 minute and 0.8 GB")
        pip(folder, "install", "--index-url", torch_index, "torch==2.8.*")
        say("installing IPEX 2.8 and transformers 4.51 into .venv-ipex: about 1 minute and 0.5 GB")
    else:
        say("installing torch 2.8, IPEX 2.8 and transformers 4.51 into .venv-ipex: 2 to 5 minutes and 7 GB")
        say("  (most of it is for GPUs; PyTorch's CPU index makes it 1 GB:")
        say("   make demo TORCH_INDEX=" + CPU_INDEX + ")")
    pip(folder, "install", f"{wheel(folder)}[ipex]")
    if not (folder / ".made-from").exists():
        say("installing the all-MiniLM-L6-v2 model (a package, 84 MB)")
    pip(folder, "install", "--no-deps", "--group", "model")  # its dependencies would change torch and transformers


def install_peers(folder: Path, torch_index: str) -> None:
    """Install other engines beside torch, and the programs of llama.cpp."""
    if not (folder / ".made-from").exists():
        say("installing torch, OpenVINO, ONNX Runtime, CTranslate2 and others into .venv-peers: 1 minute and 2 GB")
    pip(folder, "install", *(("--index-url", torch_index) if torch_index else ()), TESTED_TORCH)
    pip(folder, "install", f"{wheel(folder)}[torch,openvino]", TESTED_TORCH, "--group", "peers")
    pip(folder, "install", "--no-deps", "--group", "model")
    if shutil.which("c++") is None:
        say("llama.cpp is left out, there is no C++ compiler here: apt-get install g++")
        return
    programs = ROOT / ".programs" / LLAMA_CPP
    if not all((programs / name).exists() for name in LLAMA_PROGRAMS):
        build_llama_cpp(folder, programs)
    for name in LLAMA_PROGRAMS:
        shutil.copy2(str(programs / name), str(folder / "bin"))


def build_llama_cpp(folder: Path, programs: Path) -> None:
    """Build llama.cpp for this processor, from the sources that come with its Python package, and keep the programs."""
    say("building llama.cpp: 10 to 40 minutes, once; the programs are kept in .programs")
    sources = programs.with_name(LLAMA_CPP + ".building")
    shutil.rmtree(str(sources), ignore_errors=True)
    name, _, version = LLAMA_CPP.rpartition("-")
    pip(folder, "download", "--no-deps", "--no-binary", name, "--dest", str(sources), f"{name}=={version}")
    shutil.unpack_archive(str(sources / (LLAMA_CPP + ".tar.gz")), str(sources))
    cmake, built = str(folder / "bin/cmake"), sources / "build"
    # The pages that the server would show in a browser are downloaded, or built by Node.
    off = ("BUILD_SHARED_LIBS", "LLAMA_BUILD_TESTS", "LLAMA_BUILD_EXAMPLES", "LLAMA_USE_PREBUILT_UI", "LLAMA_OPENSSL")
    # GCC leaves out the writes to the configuration of AMX's tiles, and the first product ends with an illegal
    # instruction (llama.cpp's pull request 26954).
    has_amx = "amx_tile" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    flags = "-mno-amx-tile -mno-amx-int8 -mno-amx-bf16" if has_amx else ""
    settings = ("CMAKE_BUILD_TYPE=Release", f"CMAKE_C_FLAGS={flags}", f"CMAKE_CXX_FLAGS={flags}")
    log = folder / "install.log"
    tree = str(sources / LLAMA_CPP / "vendor/llama.cpp")
    defined = [f"-D{each}" for each in (*settings, *(f"{each}=OFF" for each in off))]
    logged(log, [cmake, "-S", tree, "-B", str(built), *defined])
    jobs = str(len(os.sched_getaffinity(0)))
    logged(log, [cmake, "--build", str(built), "--parallel", jobs, "--target", *LLAMA_PROGRAMS], watched=folder)
    half = sources / "programs"
    half.mkdir()
    for each in LLAMA_PROGRAMS:
        shutil.copy2(str(built / "bin" / each), str(half))
    shutil.rmtree(str(programs), ignore_errors=True)
    half.rename(programs)
    shutil.rmtree(str(sources))


def pip(folder: Path, *arguments: str) -> None:
    """Run pip in the environment, in the repository's folder."""
    command = [str(folder / "bin/python"), "-m", "pip", "--disable-pip-version-check", "--no-input"]
    (folder / "tmp").mkdir(exist_ok=True)
    logged(folder / "install.log", command + list(arguments), watched=folder)


def logged(log: Path, command: list[str], watched: Path | None = None) -> None:
    """Run a command with its output in a log file, and end with the last lines of it where the command fails.

    Args:
        log: the file.
        command: the words of the command.
        watched: a folder whose size is printed every 15 seconds while the command runs; also holds its temporary files.
    """
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    if watched:
        environment["TMPDIR"] = str(watched / "tmp")  # gigabytes: /tmp is often a small memory disk
    done, before = threading.Event(), log.stat().st_size if log.exists() else 0
    if watched:
        threading.Thread(target=watch, args=(watched, done), daemon=True).start()
    try:
        with open(str(log), "ab") as output:
            result = subprocess.run(
                command, cwd=str(ROOT), env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
    finally:
        done.set()
    if result.returncode != 0:
        with open(str(log), encoding="utf-8", errors="replace") as said:
            said.seek(before)
            end_failed(log, said.read(), command, result.returncode)


def end_failed(log: Path, output: str, command: list[str], code: int) -> NoReturn:
    """End with what a failed command said: one line where there is no network or no room, else its last lines."""
    lines, folder = output.splitlines()[-12:], log.parent
    kept = f"; {folder.stem} is as it was" if folder.suffix == ".new" and folder.with_suffix("").exists() else ""
    if any(words in output for words in NO_NETWORK) and not (folder / ".made-from").exists():
        stop(f"no package index answers, which {folder.stem} needs{kept}; the whole output is in {log}")
    if any(words in output for words in NO_NETWORK):
        # pip has everything before it changes anything: the environment is what it was.
        (folder / ".unfinished").unlink()
        stop(f"no package index answers: {folder.name} is as it was before pyproject.toml changed ({log})")
    if "No space left on device" in output:
        free = shutil.disk_usage(str(ROOT)).free / 1e9
        stop(f"the disk of {ROOT} is full ({free:.1f} GB are free now){kept}; the whole output is in {log}")
    print("\n".join("    " + line for line in lines), file=sys.stderr)
    stop(f"{' '.join(command)} failed (exit {code}){kept}; the whole output is in {log}")


def watch(folder: Path, done: threading.Event) -> None:
    """Print the elapsed time and the size of a folder every 15 seconds until done."""
    started = time.monotonic()
    while not done.wait(REPORT_EVERY_S):
        say(f"  {time.monotonic() - started:3.0f} s, {size_gb(folder):.1f} GB so far")


def size_gb(folder: Path) -> float:
    """The size of the files below a folder, in GB; files that come and go meanwhile are skipped."""
    total = 0
    for place, _, names in os.walk(str(folder)):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except FileNotFoundError:
                continue
    return total / 1e9


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("environment: interrupted; the next call starts this environment again", file=sys.stderr)
        raise SystemExit(130) from None
