from __future__ import annotations

import dataclasses
import hashlib
import json
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from gaussavatar.cli.main import run
from gaussavatar.errors import UserError
from gaussavatar.head.builtin.model import builtin_head
from gaussavatar.head.install import install_head
from gaussavatar.head.installed import (
    FLAME_RELEASES,
    default_head_name,
    find_head,
    get_head,
    head_key,
    head_path,
    heads_folder,
    installed_heads,
    remove_head,
    store_head,
)
from gaussavatar.head.model import save_head
from gaussavatar.media.images import read_image
from tests.unit.head.synthetic_flame import write_synthetic_flame
from tests.unit.head.synthetic_heads import gnm_arrays, write_ict_folder


@pytest.fixture(autouse=True)
def data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty data folder of the user's."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data"


def flame_zip(folder: Path, name: str = "FLAME2023.zip") -> Path:
    """An archive as it is downloaded: two models and a text."""
    model = write_synthetic_flame(folder / "flame2023.pkl", 2, python2=True).read_bytes()
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("FLAME2023/readme.txt", "a text")
        archive.writestr("__MACOSX/FLAME2023/._flame2023.pkl", "nothing")
        archive.writestr("FLAME2023/flame2023_no_jaw.pkl", b"\x80\x02}.")
        archive.writestr("FLAME2023/flame2023.pkl", model)
    (folder / "flame2023.pkl").unlink()
    return folder / name


def test_a_downloaded_archive_of_flame_becomes_what_is_used(tmp_path: Path, data: Path) -> None:
    path = flame_zip(tmp_path)
    assert default_head_name() == "built-in" and get_head().name == "built-in"
    key = head_key()
    told: list[str] = []
    record = install_head(path, say=told.append)
    assert record.name == "flame2023" and record.variant == "FLAME 2023" and len(told) >= 2
    assert record.licence == "LicenseRef-FLAME-non-commercial"
    assert record.source_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert installed_heads() == [record] == [find_head("flame2023")]
    file = data / "gaussavatar/heads/flame2023.npz"
    assert file == head_path("flame2023")
    for written in (file, file.with_suffix(".json")):
        assert stat.S_IMODE(written.stat().st_mode) == 0o600
    head = get_head()
    assert head.name == "flame2023" and head.embedding is not None and head.region("teeth_upper").any()
    assert head_key() == head_key("flame2023") != key == head_key("built-in")
    T_source_template = np.array(record.T_source_template)
    assert T_source_template.shape == (4, 4) and np.allclose(T_source_template[:3, :3], np.diag([1, -1, -1]))
    text = file.with_suffix(".json").read_text()
    assert str(tmp_path) not in text, "the path of the machine is nobody's business"
    assert remove_head("flame2023") == file and not list(heads_folder().iterdir())
    assert default_head_name() == "built-in"


@pytest.mark.long
def test_installing_again_gives_the_same_key_and_replaces(tmp_path: Path) -> None:
    """Long: two more installations of FLAME."""
    path = write_synthetic_flame(tmp_path / "generic_model.pkl", 2)
    first = install_head(path)
    again = install_head(path)
    assert first.variant == "FLAME 2020" and first.name == "flame2020"
    assert again.source_sha256 == first.source_sha256 and len(installed_heads()) == 1
    first_arrays, second = get_head("flame2020"), get_head("flame2020")
    np.testing.assert_array_equal(first_arrays.template, second.template)
    assert again.key == first.key


@pytest.mark.parametrize(
    ("file", "variant"),
    [
        ("flame2023_Open.pkl", "FLAME 2023 Open"),
        ("flame2023_no_jaw.pkl", "FLAME 2023 without jaw"),
        ("FLAME2017_generic_model.pkl", "FLAME"),
        ("female_model.pkl", "FLAME"),
    ],
)
def test_releases_are_told_by_the_files_name(file: str, variant: str) -> None:
    from gaussavatar.head.install import LICENCES, _variant
    from gaussavatar.head.safe.sandbox import Source

    assert _variant(Source("flame", file, "", {}), Path(file)) == variant
    assert variant in FLAME_RELEASES
    assert (LICENCES.get(variant) == "CC-BY-4.0") == (variant == "FLAME 2023 Open")


def test_the_newest_release_of_flame_is_preferred(tmp_path: Path) -> None:
    head = builtin_head(embedded=False)
    path = tmp_path / "own.npz"
    save_head(path, builtin_head())
    record = install_head(path, "own")
    assert default_head_name() == "built-in", "only FLAME takes the built-in head's place"
    for name, variant, day in (
        ("a", "FLAME 2020", "2026-01-03"),
        ("b", "FLAME 2023", "2026-01-01"),
        ("c", "FLAME 2023", "2026-01-02"),
        ("d", "FLAME 2023 without jaw", "2026-01-04"),
    ):
        store_head(head, dataclasses.replace(record, name=name, variant=variant, installed=day))
    assert default_head_name() == "c"
    store_head(head, dataclasses.replace(record, name="e", variant="FLAME 2023 Open", installed="2025-12-01"))
    assert default_head_name() == "e"


def test_a_head_of_our_own_goes_in_as_it_is(tmp_path: Path) -> None:
    head = builtin_head()
    save_head(tmp_path / "My Head.npz", head)
    record = install_head(tmp_path / "My Head.npz")
    assert record.name == "my-head"
    back = get_head("my-head")
    assert back.name == "my-head" and back.embedding is not None and head.embedding is not None
    np.testing.assert_array_equal(back.expression, head.expression)
    np.testing.assert_array_equal(back.embedding.face, head.embedding.face)


@pytest.mark.long
def test_ict_and_gnm_by_the_same_command(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Long: the files of ICT-FaceKit and GNM are read by tests of their own, and the command is tried with FLAME."""
    folder = write_ict_folder(tmp_path)
    np.savez(tmp_path / "gnm_head.npz", **gnm_arrays())  # type: ignore[arg-type]
    assert run(["head", "install", str(folder)]) == 0
    assert run(["head", "install", str(tmp_path / "gnm_head.npz"), "--name", "gnm3"]) == 0
    assert {record.name: record.licence for record in installed_heads()} == {"ict-facekit": "MIT", "gnm3": "Apache-2.0"}
    capfd.readouterr()
    assert run(["head", "list"]) == 0
    listed = capfd.readouterr().out
    assert "ict-facekit: ICT-FaceKit, licence MIT" in listed and "gnm3: GNM Head" in listed and "built-in" in listed
    for name in ("ict-facekit", "gnm3"):
        out = tmp_path / f"{name}.png"
        assert run(["head", "show", name, "--out", str(out)]) == 0
        picture = read_image(out)
        assert picture.shape == (1024, 5 * 512, 3) and picture.std() > 20
    assert run(["head", "show", "ict-facekit", "--expression", "jawOpen=0.7", "--out", str(tmp_path / "open.png")]) == 0
    assert read_image(tmp_path / "open.png").shape == (512, 3 * 512, 3)
    assert run(["head", "remove", "gnm3"]) == 0
    assert [record.name for record in installed_heads()] == ["ict-facekit"]


def test_unknown_names_are_said(tmp_path: Path) -> None:
    for work in (lambda: get_head("nobody"), lambda: head_key("nobody"), lambda: remove_head("nobody")):
        with pytest.raises(UserError, match="the name of a head"):
            work()
    for name in ("../x", "built-in", "", "A B", "x" * 60):
        with pytest.raises(UserError, match="small letters"):
            head_path(name)
    with pytest.raises(UserError, match="small letters"):
        install_head(tmp_path / "x.pkl", "../x")


def test_a_damaged_record_is_said(data: Path) -> None:
    folder = data / "gaussavatar/heads"
    folder.mkdir(parents=True)
    (folder / "x.npz").write_bytes(b"")
    (folder / "x.json").write_text(json.dumps({"name": "x"}))
    with pytest.raises(UserError):
        installed_heads()


def test_the_process_that_reads_files_imports_little() -> None:
    """Neither torch nor scipy nor chumpy is in it: what a hostile pickle could name is not even there."""
    heavy = "[name for name in ('torch', 'scipy', 'chumpy') if name in sys.modules]"
    code = f"import sys, gaussavatar.head.safe.sandbox_child; print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_record_of_before_the_spaces_had_names_is_read(tmp_path: Path, data: Path) -> None:
    save_head(tmp_path / "own.npz", builtin_head())
    record = install_head(tmp_path / "own.npz", "own")
    path = data / "gaussavatar/heads/own.json"
    values = json.loads(path.read_text())
    values["T_source_head"] = values.pop("T_source_template")
    path.write_text(json.dumps(values))
    assert installed_heads() == [record]
