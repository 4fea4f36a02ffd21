"""The wheel, installed into a clean environment and used from an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from gaussavatar.media.probe import probe
from gaussavatar.media.process import find_ffmpeg
from gaussavatar.native.library import native_info

CHECKOUT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.slow
"""Builds the wheel, an environment and the native library: about a minute."""


def run(*words: object, cwd: Path, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, cwd=cwd, env=environment, timeout=600
    )
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=CHECKOUT)
    (built,) = folder.glob("gaussavatar-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment_with(wheel, tmp_path_factory.mktemp("clean") / "venv")


def environment_with(wheel: Path, folder: Path) -> Path:
    """An environment with a wheel alone; its dependencies are those of the environment that runs the tests."""
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    python = folder / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=folder)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return folder


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """No caches of the user, nothing of the checkout; a compiler that spends no time on the library's speed."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    compiler = tmp_path / "hasty-compiler"
    compiler.write_text('#!/bin/sh\nexec c++ "$@" -O0\n')
    compiler.chmod(0o755)
    return kept | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "CXX": str(compiler)}


def test_the_wheel_carries_recipes_sources_and_licence(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for recipe in CHECKOUT.glob("recipes/*.yaml"):
        assert f"gaussavatar/_recipes/{recipe.name}" in names
    for source in [path for end in ("cpp", "cu", "h") for path in CHECKOUT.glob(f"cuda_ext/**/*.{end}")]:
        assert f"gaussavatar/_cuda_ext/{source.relative_to(CHECKOUT / 'cuda_ext')}" in names
    assert "gaussavatar/_assets/README.md" in names
    for source in [path for end in ("js", "html", "css") for path in CHECKOUT.glob(f"assets/web/**/*.{end}")]:
        assert f"gaussavatar/_assets/{source.relative_to(CHECKOUT / 'assets')}" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_wheel_installs_no_top_level_name_but_its_own(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"gaussavatar"}


def test_the_wheel_carries_no_footage_and_no_build_products(wheel: Path) -> None:
    suffixes = {Path(name).suffix for name in zipfile.ZipFile(wheel).namelist()}
    assert not suffixes & {".mp4", ".so", ".o", ".pyc", ".u8", ".wav"}


def test_the_installed_program_works_from_an_empty_folder(
    installed: Path, environment: dict[str, str], tmp_path: Path, toy_avatar: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    command = installed / "bin" / "gaussavatar"
    assert "speak" in run(command, "--help", cwd=empty, environment=environment).stdout
    report = run(command, "doctor", cwd=empty, environment=environment).stdout
    assert f"in {installed}" in report.splitlines()[0]
    assert "MISSING" not in report and "the main road works" in report
    assert str(tmp_path / "cache") in report, "the native library must be built from the wheel's own sources"
    run(find_ffmpeg(), "-v", "error", "-f", "lavfi", "-i", "sine=frequency=200:duration=1.5", "tone.wav", cwd=empty)
    run(command, "speak", "--audio", "tone.wav", "--avatar", toy_avatar, "--out", "said.mp4", cwd=empty,
        environment=environment)  # fmt: skip
    assert abs(probe(empty / "said.mp4").seconds - 1.5) <= 0.04
    assert sorted(path.name for path in empty.iterdir()) == ["said.mp4", "tone.wav"]


@pytest.mark.parametrize("distribution", [".", pytest.param("packaging/play", marks=pytest.mark.long)])
def test_a_wheel_with_the_library_inside_needs_no_compiler(
    distribution: str, environment: dict[str, str], tmp_path: Path
) -> None:
    """The library is that of the tests, for wheels of other systems have theirs from another compiler."""
    library = Path(native_info()["library"])
    tag = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    given = {**os.environ, "GAUSSAVATAR_WHEEL_LIBRARY": str(library), "GAUSSAVATAR_WHEEL_TAG": tag}
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path, cwd=CHECKOUT / distribution,
        environment=given)  # fmt: skip
    (built,) = tmp_path.glob("*.whl")
    assert built.name.endswith(f"-py3-none-{tag}.whl")
    assert f"gaussavatar/_cuda_ext/prebuilt/{library.name}" in zipfile.ZipFile(built).namelist()
    python = environment_with(built, tmp_path / "venv") / "bin" / "python"
    code = "from gaussavatar.native.library import native_info; print(native_info()['library'])"
    without = environment | {"CXX": "/no/such/compiler"}
    found = Path(run(python, "-c", code, cwd=tmp_path, environment=without).stdout.strip())
    assert found.is_relative_to(tmp_path / "venv") and found.parent.name == "prebuilt"


def test_recipes_are_read_from_the_wheel(installed: Path, environment: dict[str, str], tmp_path: Path) -> None:
    code = (
        "from gaussavatar.resources import resource; from gaussavatar.fitting.recipe import load_recipe, recipe_names\n"
        "print(resource('recipes')); [load_recipe(name) for name in recipe_names()]; print(*recipe_names())"
    )
    folder, names = run(
        installed / "bin" / "python", "-c", code, cwd=tmp_path, environment=environment
    ).stdout.splitlines()
    assert Path(folder).is_relative_to(installed) and folder.endswith("_recipes")
    assert {"preview", "default", "demo"} <= set(names.split())
