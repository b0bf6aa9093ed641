"""The guests' kernel: Debian's package, downloaded once by apt and unpacked into a cache, never installed."""

from __future__ import annotations

import contextlib
import fcntl
import lzma
import os
import platform
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

WANTED_MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay")
PACKAGES = ("linux-image-6.12-amd64", "linux-image-amd64")
"""The first that apt knows; each depends on the newest kernel of its kind. 6.9 and later have weighted interleave.
Debian builds the smaller linux-image-cloud-amd64 without 9p."""
DEB_VARIABLE = "IPEXLAUNCH_GUEST_KERNEL_DEB"
CACHE_VARIABLE = "IPEXLAUNCH_GUEST_CACHE"
TOOLS = ("qemu-system-x86_64", "busybox", "setpriv")
DOWNLOAD_TOOLS = ("apt-cache", "apt-get", "dpkg-deb")
DOWNLOAD_SECONDS = 600


class GuestMissingError(Exception):
    """This host cannot run guests; the message says what is missing and how to get it."""


@dataclass(frozen=True)
class Kernel:
    """An unpacked kernel in the cache."""

    image: Path
    modules: tuple[Path, ...]
    """In the order in which they must be loaded."""


def ready_kernel() -> Kernel:
    """The kernel, from the cache; the first call on a host downloads it (107 MB) unless $IPEXLAUNCH_GUEST_KERNEL_DEB
    names a package file.

    Raises:
        GuestMissingError: a tool is missing, or the download or the unpacking failed.
    """
    if platform.machine() != "x86_64":
        raise GuestMissingError(
            f"guests share the host's programs and need an x86_64 host, this is {platform.machine()}"
        )
    absent = [tool for tool in TOOLS if not shutil.which(tool)]
    if absent:
        raise GuestMissingError(
            f"{', '.join(absent)} not found; apt-get install qemu-system-x86 busybox-static util-linux"
        )
    cache = _cache()
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:  # two test sessions may start at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        images = sorted(cache.glob("linux-*/vmlinuz"), key=lambda image: image.stat().st_mtime)
        image = images[-1] if images else _fill(cache)
    return Kernel(image, tuple(sorted((image.parent / "modules").iterdir())))


def _cache() -> Path:
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ipexlaunch" / "guest"


def _fill(cache: Path) -> Path:
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        given = os.environ.get(DEB_VARIABLE)
        package = Path(given) if given else _download(Path(scratch))
        version, image, modules = _unpack(package)
        made = Path(scratch, "made")
        (made / "modules").mkdir(parents=True)
        (made / "vmlinuz").write_bytes(image)
        for position, (name, content) in enumerate(modules.items()):
            (made / "modules" / f"{position:02}-{name}.ko").write_bytes(content)
        place = cache / f"linux-{version}"
        shutil.rmtree(place, ignore_errors=True)  # one without a kernel in it, or it would have been found
        return made.rename(place) / "vmlinuz"


def _download(directory: Path) -> Path:
    absent = [tool for tool in DOWNLOAD_TOOLS if not shutil.which(tool)]
    if absent:
        raise GuestMissingError(f"{', '.join(absent)} not found; name a Debian kernel package in ${DEB_VARIABLE}")
    for package in PACKAGES:
        code, depends = _run(["apt-cache", "depends", package], directory)
        found = re.search(r"Depends: (linux-image-\S+)", depends)
        if code == 0 and found:
            break
    else:
        names = " nor ".join(PACKAGES)
        raise GuestMissingError(f"apt knows no {names}; apt-get update, or name a kernel package in ${DEB_VARIABLE}")
    download = ["apt-get", "-q", "download", found[1]]
    code, talk = _run(download, directory)
    if code:
        raise GuestMissingError(f"{' '.join(download)}: {talk.strip()[-500:]}")
    return next(directory.glob("*.deb"))


def _run(command: list[str], directory: Path) -> tuple[int, str]:
    """Exit status, and what was said on stdout and stderr."""
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=DOWNLOAD_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return 124, f"took more than {DOWNLOAD_SECONDS} s"
    return done.returncode, done.stdout


def _unpack(package: Path) -> tuple[str, bytes, Mapping[str, bytes]]:
    """Version, kernel and needed modules of a package, modules in loading order."""
    files: dict[PurePosixPath, bytes] = {}
    reader = subprocess.Popen(
        ["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    with reader, contextlib.suppress(tarfile.ReadError), tarfile.open(fileobj=reader.stdout, mode="r|") as archive:
        for member in archive:
            path = PurePosixPath(member.name)
            is_module = ".ko" in path.name and {"9p", "virtio", "fs", "net"} & set(path.parts)
            if is_module or path.name.startswith("vmlinuz-") or path.name == "modules.builtin":
                stored = archive.extractfile(member)
                files[path] = stored.read() if stored else b""
    images = [path for path in files if path.name.startswith("vmlinuz-")]
    if reader.returncode or len(images) != 1:
        raise GuestMissingError(f"{package} is no kernel package of Debian")
    builtin: set[str] = set()
    modules: dict[str, bytes] = {}
    for path, content in files.items():
        name, _, compression = path.name.partition(".ko")
        if path.name == "modules.builtin":
            builtin = {_module_name(PurePosixPath(line).stem) for line in content.decode().splitlines()}
        elif path not in images:
            modules[_module_name(name)] = lzma.decompress(content) if compression == ".xz" else content
    version = images[0].name.removeprefix("vmlinuz-")
    return version, files[images[0]], _in_loading_order(modules, builtin)


def _module_name(text: str) -> str:
    return text.replace("-", "_")


def _in_loading_order(modules: Mapping[str, bytes], builtin: set[str]) -> dict[str, bytes]:
    """The wanted modules, each after those it needs.

    modules.dep is only made at installation, but each module names its needs in its .modinfo section.
    """
    order: dict[str, bytes] = {}

    def add(names: Iterable[str]) -> None:
        for name in names:
            if name in builtin or name in order:
                continue
            if name not in modules:
                raise GuestMissingError(f"the kernel package has no module {name}; is it Debian's linux-image-amd64?")
            needs = re.search(rb"\0depends=([^\0]*)\0", modules[name])
            add(_module_name(need) for need in needs[1].decode().split(",") if need) if needs else None
            order[name] = modules[name]

    add(WANTED_MODULES)
    return order
