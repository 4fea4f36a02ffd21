"""The pinned packages come by uv, from where pip would take them, or by pip itself."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "packaging" / "install.py"


def write_wheel(folder: Path, name: str, scripts: str = "") -> None:
    """A distribution of one module; with ``scripts``, its program of the same name."""
    folder.mkdir(exist_ok=True)
    facts = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": "def main():\n    raise SystemExit(7)\n",
        f"{facts}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{facts}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{facts}/entry_points.txt": scripts,
    }
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
        wheel.writestr(f"{facts}/RECORD", "".join(f"{path},,\n" for path in (*files, f"{facts}/RECORD")))


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pinned") / "venv"
    venv.create(folder, symlinks=True)
    # pip of the tests' environment is lent: one of its own takes seconds.
    (site,) = folder.glob("lib/python*/site-packages")
    import pip

    (site / "pip").symlink_to(Path(pip.__file__).parent)
    return folder / "bin" / "python"


def install(
    python: Path, folder: Path, requirements: str, settings: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    file = folder / "requirements.lock"
    file.write_text(requirements)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
    return subprocess.run(
        [python, SCRIPT, file], capture_output=True, text=True,
        env=kept | {"PIP_CONFIG_FILE": os.devnull, "UV_CACHE_DIR": str(folder / "cache")} | settings,
    )  # fmt: skip


def modules(python: Path, name: str) -> bool:
    return subprocess.run([python, "-c", f"import {name}"], capture_output=True).returncode == 0


def test_pip_does_it_where_uv_cannot(python: Path, tmp_path: Path) -> None:
    """What is called uv here ends with 7, as a program that does not run on this machine would."""
    write_wheel(tmp_path / "links", "uv", "[console_scripts]\nuv=uv:main\n")
    write_wheel(tmp_path / "links", "first_package")
    settings = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path / "links")}
    done = install(python, tmp_path, "uv==1.0\nfirst_package==1.0\n", settings)
    assert done.returncode == 0 and "pip does, which takes longer" in done.stderr, done.stderr
    assert modules(python, "first_package")
    missing = install(python, tmp_path, "uv==1.0\nno_such_package==1.0\n", settings)
    assert missing.returncode != 0 and "no_such_package" in missing.stderr


def test_uv_finds_what_the_settings_of_pip_name(python: Path, tmp_path: Path) -> None:
    """Two folders, one named in a file and one in the environment, which has the last word as it has for pip."""
    uv = Path(sys.executable).with_name("uv")
    if not uv.exists():
        pytest.skip("uv is not installed beside this Python")
    for folder, name in (("file", "second_package"), ("variable", "third_package")):
        write_wheel(tmp_path / folder, name)
    (tmp_path / "pip.conf").write_text(f"[global]\nno-index = true\nfind-links = {tmp_path / 'file'}\n")
    settings = {"PIP_CONFIG_FILE": str(tmp_path / "pip.conf")}
    # The real program, under the name that pip has just been asked for.
    write_wheel(tmp_path / "file", "uv")
    write_wheel(tmp_path / "variable", "uv")
    (python.parent / "uv").unlink(missing_ok=True)
    (python.parent / "uv").symlink_to(uv)
    done = install(python, tmp_path, "uv==1.0\nsecond_package==1.0\n", settings)
    assert done.returncode == 0 and not done.stderr and modules(python, "second_package"), done.stderr
    settings["PIP_FIND_LINKS"] = str(tmp_path / "variable")
    done = install(python, tmp_path, "uv==1.0\nthird_package==1.0\n", settings)
    assert done.returncode == 0 and not done.stderr and modules(python, "third_package"), done.stderr
