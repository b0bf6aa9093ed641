#!/usr/bin/env python3
"""Installs ipexlaunch as people do, and runs what they run: a table of what works, how long it takes and its size.

    python3 tools/try_installing.py                       # pip, uv tool and pipx, every Python, wheel and sdist
    python3 tools/try_installing.py --ways uv --of wheel --pythons 3.10,3.13 --extras none   # some of them
    python3 tools/try_installing.py --extras engines --pythons 3.11   # ipex, torch, openvino: 7, 7 and 1 GB, one by one
    python3 tools/try_installing.py --ways none --lowest  # the lowest releases that are allowed

Each is a new environment and a new HOME; the commands run in a folder that is not the checkout, which is on no
path. A command that lacks a package must say how to add it: what it says is run, and then the command must work.
Needs uv, pipx and build beside the Python that runs this (make env-package), a package index, and Pythons on PATH,
under PYENV_ROOT where that is set, or in a folder beside that of the Python that runs this. Times are with downloads in
the caches of pip and uv. Exit code 1 where something does not work.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
WAYS = ("pip", "uv", "pipx")
KINDS = ("wheel", "sdist")
ENGINES = ("openvino", "torch", "ipex")
EXTRAS = ("metrics", "tune", "report", "parquet", "zstd", "loadgen", "numa", "all")

COUNT = """
import time
from ipexlaunch import worker

worker.ready()
for _ in range(20):
    time.sleep(0.05)
    worker.count(items=1)
worker.finish()
"""
"""A program that is measured."""

ANSWER = """
from ipexlaunch import worker

for batch in worker.batches():
    batch.done([{"length": len(item["text"])} for item in batch.items])
"""
"""A program that takes the items of a batch job."""


class Failed(Exception):
    """A command did not do what was expected; the message is its last line."""


@dataclass
class Place:
    """A new home, a folder that is not the checkout, and where the environments lie."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("home", "work"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "work/count.py").write_text(COUNT, encoding="utf-8")
        (self.folder / "work/answer.py").write_text(ANSWER, encoding="utf-8")
        items = "".join(f'{{"id": {i}, "text": "{"x" * i}"}}\n' for i in range(1, 21))
        (self.folder / "work/in.jsonl").write_text(items, encoding="utf-8")
        kept = (
            "LANG",
            "TERM",
            "SSL_CERT_FILE",
            "PIP_CERT",
            "PIP_FIND_LINKS",
            "PIP_INDEX_URL",
            "UV_INDEX_URL",
            "UV_FIND_LINKS",
        )
        proxies = [name for name in os.environ if name.lower().endswith("_proxy")]
        tools = Path(sys.executable).parent
        self.variables = {
            **{name: os.environ[name] for name in (*kept, *proxies) if name in os.environ},
            "HOME": str(self.folder / "home"),
            "PATH": f"{self.folder}/home/.local/bin:{tools}:/usr/local/bin:/usr/bin:/bin",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_CACHE_DIR": cache("PIP_CACHE_DIR", "pip"),
            "UV_CACHE_DIR": cache("UV_CACHE_DIR", "uv"),
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_SYSTEM_CERTS": "1",  # those that pip takes too
            "PIPX_DEFAULT_BACKEND": "pip",
            # Whoever else uses the machine must not decide whether a run is VALID.
            "IPEXLAUNCH_LOST_TIME": "1",
        }

    def run(self, *words: str | Path, expected: int = 0) -> str:
        """Run a command in the foreign folder, and return what it printed.

        Raises:
            Failed: its exit code is another one.
        """
        done = subprocess.run(
            [str(word) for word in words],
            cwd=self.folder / "work",
            env=self.variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != expected:
            last = " / ".join(done.stdout.strip().splitlines()[-6:])
            raise Failed(f"{shlex.join(str(word) for word in words)}: exit {done.returncode}: {last}")
        return done.stdout


def cache(variable: str, name: str) -> str:
    """The caller's cache of an installer, which a new HOME would hide."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return os.environ.get(variable) or f"{base}/{name}"


def python_of(version: str) -> str:
    """The path of a Python of that version, on PATH, of PYENV_ROOT, or beside the one that runs this; "" for none."""
    found = shutil.which(f"python{version}")
    candidates = [found] if found else []
    pyenv = os.environ.get("PYENV_ROOT")
    for versions in (*([Path(pyenv, "versions")] if pyenv else []), Path(sys.base_prefix).parent):
        candidates += [str(path) for path in sorted(versions.glob(f"{version}.*/bin/python{version}"))]
    for path in candidates:
        question = "import sys, venv, ensurepip; print(sys.executable, '%d.%d' % sys.version_info[:2])"
        answer = subprocess.run([path, "-c", question], capture_output=True, text=True, check=False)
        if answer.returncode == 0 and answer.stdout.split()[1] == version:
            return answer.stdout.split()[0]
    return ""


def install(place: Place, way: str, python: str, source: str) -> tuple[Path, Path]:
    """Install the package, and return its program and its environment."""
    home = place.folder / "home"
    if way == "uv":
        place.run("uv", "tool", "install", "--quiet", "--python", python, source)
        return home / ".local/bin/ipexlaunch", home / ".local/share/uv/tools/ipexlaunch"
    if way == "pipx":
        place.run("pipx", "install", "--python", python, source)
        return home / ".local/bin/ipexlaunch", home / ".local/share/pipx/venvs/ipexlaunch"
    place.run(python, "-m", "venv", home / "env")
    place.run(home / "env/bin/pip", "install", "--quiet", source)
    return home / "env/bin/ipexlaunch", home / "env"


def use(place: Place, program: Path) -> None:
    """What everybody uses: topology, plan, run, batch and report."""
    work = place.folder / "work"
    place.run(program, "topology")
    if "8 nodes" not in place.run(program, "topology", "--topology", "xeon-spr-2s-4n-14c-2t"):
        raise Failed("topology does not find the machines that are shipped")
    place.run(program, "plan", "--topology", "2s 2n 28c 2t", "--ninstances", "8")
    place.run(program, "--ninstances", "1", "--report", "report.json", "--run-dir", "runs", "count.py")
    words = ("--ninstances", "1", "--input", "in.jsonl", "--id-field", "id", "--output", "out.jsonl", "answer.py")
    place.run(program, "batch", *words)
    if len((work / "out.jsonl").read_text(encoding="utf-8").splitlines()) != 20:
        raise Failed("batch did not write a result for every item")
    if "VALID" not in place.run(program, "report", "report.json"):
        raise Failed("report does not say that the run is VALID")


def use_metrics(place: Place, program: Path) -> None:
    """A file for Prometheus."""
    place.run(program, "--ninstances", "1", "--metrics-file", "m.prom", "count.py")


def use_tune(place: Place, program: Path) -> None:
    """A search of eight seconds."""
    place.run(program, "tune", "--budget", "8s", "--seconds", "1", "--fresh", "count.py")


def use_report(place: Place, program: Path) -> None:
    """A page of a run."""
    if not (place.folder / "work/report.json").exists():
        place.run(program, "--ninstances", "1", "--report", "report.json", "count.py")
    place.run(program, "report", "--html", "page.html", "report.json")


def use_parquet(place: Place, program: Path) -> None:
    """Results as Parquet."""
    place.run(program, "batch", "--ninstances", "1", "--input", "in.jsonl", "--output", "out.parquet", "answer.py")


def use_zstd(place: Place, program: Path) -> None:
    """Input that is compressed."""
    # A frame of one block that is not compressed (RFC 8878, 3.1.1): no program is needed to write it.
    line = b'{"text": "x"}\n'
    frame = b"\x28\xb5\x2f\xfd\x20" + bytes([len(line)]) + (len(line) << 3 | 1).to_bytes(3, "little") + line
    (place.folder / "work/in.jsonl.zst").write_bytes(frame)
    place.run(program, "batch", "--ninstances", "1", "--input", "in.jsonl.zst", "--output", "z.jsonl", "answer.py")


def use_loadgen(place: Place, program: Path) -> None:
    """A test of one second."""
    slow = "import time\n" + ANSWER.replace("    batch.done", "    time.sleep(0.1 * len(batch.items))\n    batch.done")
    (place.folder / "work/slow.py").write_text(slow, encoding="utf-8")  # the test must not be over before its time
    words = ("--scenario", "Offline", "--qps", "10", "--min-duration", "1", "--loadgen-log-dir", "logs")
    place.run(program, "loadgen", "--ninstances", "1", *words, "--input", "in.jsonl", "slow.py")


def use_numa(place: Place, program: Path) -> None:
    """The check that asks that package, which builds on Python 3.10 only."""
    said = place.run("sh", "-c", f"{shlex.quote(str(program))} doctor --format json; test $? -le 4")
    old = (
        place.run(program.with_name("python"), "-c", "import sys; print(sys.version_info < (3, 11))").strip() == "True"
    )
    if ("The package numa sees the nodes that the kernel has" if old else "No package numa is here") not in said:
        raise Failed("doctor does not say what it should of the package numa")


def use_all(place: Place, program: Path) -> None:
    """Each of them, in one environment."""
    for extra in ("metrics", "report", "parquet", "zstd", "loadgen", "tune"):
        COMMANDS[extra](place, program)


def use_engine(name: str) -> Callable[[Place, Path], None]:
    """A command that runs a model with that engine."""

    def use_it(place: Place, program: Path) -> None:
        words = (
            "--ninstances",
            "1",
            "--model",
            "random:minilm",
            "--engine",
            name,
            "--dtype",
            "fp32",
            "--duration",
            "2",
        )
        place.run(program, "bench", *words)

    return use_it


COMMANDS: dict[str, Callable[[Place, Path], None]] = {
    "metrics": use_metrics,
    "tune": use_tune,
    "report": use_report,
    "parquet": use_parquet,
    "zstd": use_zstd,
    "loadgen": use_loadgen,
    "numa": use_numa,
    "all": use_all,
    **{name: use_engine(name) for name in ENGINES},
}


def follow_hint(place: Place, program: Path) -> None:
    """Run a command that lacks a package, then what it says, then the command again."""
    said = place.run(program, "report", "--html", "page.html", "report.json", expected=2)
    command = re.search(r"not installed beside ipexlaunch; (.*)$", said, re.MULTILINE)
    if command is None:
        raise Failed(f"no command is told: {said.strip()}")
    place.run(*shlex.split(command[1]))
    use_report(place, program)
    place.run(program, "topology")


def size_mb(folder: Path) -> float:
    """The size of the files below a folder, in MB."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def build(folder: Path) -> dict[str, str]:
    """The wheel and the sdist, by their kind."""
    words = [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"try: the packages cannot be built:\n{done.stdout}")
    return {"wheel": str(next(folder.glob("*.whl"))), "sdist": str(next(folder.glob("*.tar.gz")))}


def rows(
    options: argparse.Namespace, pythons: dict[str, str], packages: dict[str, str], base: Path
) -> Iterator[list[str]]:
    """A row of the table for each try."""
    for way in options.ways:
        for version in options.pythons:
            python = pythons[version]
            for kind in options.of:
                hint = kind == options.of[0] and options.hints

                def try_way(
                    place: Place, way: str = way, python: str = python, source: str = packages[kind], hint: bool = hint
                ) -> tuple[float, float]:
                    started = time.monotonic()
                    program, environment = install(place, way, python, source)
                    took, size = time.monotonic() - started, size_mb(environment)
                    use(place, program)
                    if hint:
                        follow_hint(place, program)
                    return took, size

                yield [way, kind, version, *attempt(base, try_way), "hint" if hint else ""]
    for extra in options.extras if options.pythons else ():
        version = options.pythons[0]
        python = pythons[version]

        def try_extra(place: Place, extra: str = extra, python: str = python) -> tuple[float, float]:
            started = time.monotonic()
            home = place.folder / "home"
            place.run("uv", "venv", "--quiet", "--python", python, home / "env")
            source = f"{packages['wheel']}[{extra}]"
            place.run("uv", "pip", "install", "--quiet", "--python", home / "env/bin/python", source)
            took, size = time.monotonic() - started, size_mb(home / "env")
            COMMANDS[extra](place, home / "env/bin/ipexlaunch")
            return took, size

        yield [f"[{extra}]", "wheel", version, *attempt(base, try_extra), ""]
    for version in options.lowest:
        python = pythons[version]

        def try_lowest(place: Place, python: str = python) -> tuple[float, float]:
            started = time.monotonic()
            home = place.folder / "home"
            place.run("uv", "venv", "--quiet", "--python", python, home / "env")
            words = ("--resolution", "lowest-direct", "--only-binary", ":all:", f"{packages['wheel']}[all]")
            place.run("uv", "pip", "install", "--quiet", "--python", home / "env/bin/python", *words)
            took, size = time.monotonic() - started, size_mb(home / "env")
            use(place, home / "env/bin/ipexlaunch")
            use_all(place, home / "env/bin/ipexlaunch")
            return took, size

        yield ["lowest [all]", "wheel", version, *attempt(base, try_lowest), ""]


def attempt(base: Path, what: Callable[[Place], tuple[float, float]]) -> list[str]:
    """Seconds, MB and "works", or what does not; nothing is left of it."""
    folder = Path(tempfile.mkdtemp(dir=base))
    try:
        took, size = what(Place(folder))
    except Failed as failure:
        return ["", "", f"FAILS: {failure}"]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return [f"{took:.1f}", f"{size:.0f}", "works"]


def words(known: tuple[str, ...], **named: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    """A list of known words, "all" of them, "none", or a name for some."""

    def parse(text: str) -> tuple[str, ...]:
        given = named.get(text) or tuple(word for word in text.split(",") if word != "none")
        for word in given:
            if word not in known:
                raise argparse.ArgumentTypeError(f"{word}: there are {', '.join(known)}")
        return given

    return parse


def main() -> int:
    """Try what is asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ways", type=words(WAYS), default=WAYS, help="of pip,uv,pipx; none")
    parser.add_argument("--of", type=words(KINDS), default=KINDS, help="of wheel,sdist")
    parser.add_argument("--pythons", type=words(PYTHONS), default=PYTHONS, help="of 3.10,3.11,3.12,3.13")
    parser.add_argument(
        "--extras", type=words((*EXTRAS, *ENGINES), engines=ENGINES), default=EXTRAS, help="each alone; none, engines"
    )
    parser.add_argument(
        "--lowest",
        type=words(PYTHONS),
        nargs="?",
        const=PYTHONS,
        default=(),
        help="the lowest releases with the extra all",
    )
    parser.add_argument("--hints", action="store_true", help="follow what a command says that lacks a package")
    parser.add_argument("--skip-missing", action="store_true", help="leave out the Pythons that are not here")
    options = parser.parse_args()
    pythons = {version: python_of(version) for version in dict.fromkeys((*options.pythons, *options.lowest))}
    if missing := [version for version, path in pythons.items() if not path]:
        places = "on PATH, under PYENV_ROOT or beside the Python that runs this"
        print(f"try: there is no Python {' and no '.join(missing)} here, {places}", file=sys.stderr)
        if not options.skip_missing:
            return 1
        options.pythons = tuple(version for version in options.pythons if pythons[version])
        options.lowest = tuple(version for version in options.lowest if pythons[version])
    bad = 0
    with tempfile.TemporaryDirectory(prefix="ipexlaunch-try-") as folder:
        packages = build(Path(folder, "packages"))
        print("| by | from | Python | s | MB | |\n|---|---|---|---|---|---|", flush=True)
        for row in rows(options, pythons, packages, Path(folder)):
            bad += "FAILS" in row[5]
            print(
                "| " + " | ".join(row[:5]) + f" | {row[5]}{', hint too' if row[6] and row[5] == 'works' else ''} |",
                flush=True,
            )
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
