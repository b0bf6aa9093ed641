"""Where a user's files are kept without HOME, and that those of others are neither believed nor run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ipexlaunch.models.user_directory import (
    cache_directory,
    make_private,
    name_where_nobody_knows_one,
    user_directory,
    why_untrusted,
)
from ipexlaunch.tune.profile_store import profile_path, study_path

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("home", "base"), [("/h", ""), ("/h", "relative"), ("/elsewhere", "/h/.cache")])
def test_a_variable_that_is_a_whole_path_wins(home: str, base: str) -> None:
    assert user_directory({"HOME": home, "XDG_CACHE_HOME": base}, "XDG_CACHE_HOME", ".cache") == "/h/.cache"


@pytest.mark.parametrize("environment", [{}, {"HOME": ""}, {"HOME": "relative"}, {"HOME": "~"}])
def test_without_a_home_the_list_of_users_says_it(environment: dict[str, str]) -> None:
    for path in (cache_directory(environment), profile_path(environment, "t", "p"), study_path(environment, "k")):
        assert os.path.isabs(path)
        assert "~" not in path


@pytest.mark.process
@pytest.mark.skipif(os.getuid() != 0, reason="only root may become a user that nobody knows")
def test_a_user_that_nobody_knows_has_a_place_of_their_own(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    for parent in tmp_path.parents:
        if not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)
    code = (
        "import os, pwd, tempfile\nfrom ipexlaunch.models.user_directory import cache_directory\n"
        "os.setgid(54321)\nos.setuid(54321)\nprint(cache_directory({}))"
    )
    words = [sys.executable, "-c", code]
    environment = {"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, env=environment, cwd="/", capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == f"{tmp_path}/ipexlaunch-home-54321/.cache/ipexlaunch/dtypes", done.stderr
    assert (tmp_path / "ipexlaunch-home-54321").stat().st_mode & 0o777 == 0o700


def test_who_is_known_needs_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "somebody")
    assert name_where_nobody_knows_one() == {}


@pytest.mark.process
@pytest.mark.skipif(os.getuid() != 0, reason="only root may become a user that nobody knows")
@pytest.mark.parametrize(("variables", "name"), [({}, {"LOGNAME": "uid_54321"}), ({"USER": "me"}, {})])
def test_who_is_a_number_only_gets_a_name(variables: dict[str, str], name: dict[str, str]) -> None:
    code = (
        "import os\nfrom ipexlaunch.models.user_directory import name_where_nobody_knows_one\n"
        "os.setgid(54321)\nos.setuid(54321)\nprint(name_where_nobody_knows_one())"
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **variables}
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, env=environment, cwd="/", capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == str(name), done.stderr


def test_whose_files_are_trusted(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert why_untrusted(str(path), code=True) == ""
    path.write_text("x")
    path.chmod(0o600)
    assert why_untrusted(str(path), code=True) == ""
    path.chmod(0o666)
    assert "can be written by others (mode 666)" in why_untrusted(str(path), code=False)
    path.chmod(0o664)
    assert "can be written by others" in why_untrusted(str(path), code=True)
    assert why_untrusted(str(path), code=False) == ""
    (tmp_path / "link").symlink_to(path)
    assert "can be written by others" in why_untrusted(str(tmp_path / "link"), code=True)
    if os.getuid() == 0:
        path.chmod(0o600)
        os.chown(path, 54321, 54321)
        assert why_untrusted(str(path), code=False) == f"{path} belongs to user 54321"


def test_what_is_made_is_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make_private(str(tmp_path / "a/b/c"))
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("a", "a/b", "a/b/c")] == [0o700] * 3
    make_private(str(tmp_path / "a/b/c"))
