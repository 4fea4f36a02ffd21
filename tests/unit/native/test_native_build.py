"""Building and finding the native library, and what is said where it cannot be done."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gaussavatar.errors import UserError
from gaussavatar.native import library as native_library
from gaussavatar.native.library import native_info, sources
from gaussavatar.render.api import get_rasterizer


@pytest.fixture
def unloaded(monkeypatch):
    """The state of a process that has not loaded the library yet."""
    isa = native_info()["isa"]
    monkeypatch.setattr(native_library, "_loaded", {})
    monkeypatch.setattr(native_library, "_failed", {})
    yield monkeypatch
    monkeypatch.undo()
    native_library.force_isa(isa)


def test_info_names_what_runs():
    info = native_info()
    assert Path(info["library"]).is_file() and info["isa"] in info["isas"] and info["isas"][0] == "generic"
    assert info["threads"] >= 1


@pytest.mark.skipif(platform.machine() != "x86_64", reason="instruction sets of another processor")
def test_the_instruction_sets_are_those_of_the_processor():
    (flags, *_) = (line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags"))
    here = set(flags.split())
    needs = {"generic": set(), "avx2": {"avx2", "fma", "bmi2"}}
    needs["avx512"] = needs["avx2"] | {f"avx512{part}" for part in ("f", "dq", "bw", "vl")}
    assert native_info()["isas"] == [name for name, wanted in needs.items() if wanted <= here]


def test_environment_chooses_isa_and_threads(unloaded):
    unloaded.setenv("GAUSSAVATAR_ISA", "generic")
    unloaded.setenv("GAUSSAVATAR_THREADS", "3")
    info = native_info()
    assert (info["isa"], info["threads"]) == ("generic", 3)


@pytest.mark.parametrize("name", ["GAUSSAVATAR_ISA", "GAUSSAVATAR_THREADS"])
def test_wrong_environment_is_explained(unloaded, name):
    unloaded.setenv(name, "many")
    with pytest.raises(UserError, match=f"{name}.*'many'"):
        native_library.load_library()


def test_missing_compiler_is_explained(unloaded, tmp_path):
    unloaded.setenv("XDG_CACHE_HOME", str(tmp_path))
    unloaded.setenv("CXX", "/no/such/compiler")
    with pytest.raises(UserError, match="a C\\+\\+ compiler in CXX"):
        native_library.load_library()
    unloaded.setattr(native_library, "_failed", {})
    unloaded.setenv("CXX", "")
    unloaded.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="install one"):
        native_library.load_library()


def test_a_built_library_needs_no_compiler(unloaded, tmp_path):
    built = Path(native_info()["library"])
    unloaded.setattr(native_library, "_loaded", {})
    folder = tmp_path / "gaussavatar" / "native" / "another-compiler"
    folder.mkdir(parents=True)
    shutil.copy(built, folder)
    unloaded.setenv("XDG_CACHE_HOME", str(tmp_path))
    unloaded.setenv("CXX", "/no/such/compiler")
    assert native_info()["library"] == str(folder / built.name)


@pytest.fixture
def packaged(unloaded, tmp_path):
    """The sources as a wheel carries them, with a place for a library; no compiler, and nothing in the cache."""
    built, folder = Path(native_info()["library"]), tmp_path / "_cuda_ext"
    shutil.copytree(sources(), folder, ignore=shutil.ignore_patterns("__pycache__", "prebuilt"))
    (folder / "prebuilt").mkdir()
    unloaded.setattr(native_library, "_loaded", {})
    unloaded.setattr(native_library, "sources", lambda: folder)
    unloaded.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    unloaded.setenv("CXX", "/no/such/compiler")
    return built, folder


def test_the_library_that_comes_along_is_used_before_a_compiler_is_looked_for(packaged):
    built, folder = packaged
    shutil.copy(built, folder / "prebuilt")
    assert native_info()["library"] == str(folder / "prebuilt" / built.name)


def test_a_library_of_other_sources_is_refused_by_its_name(packaged):
    built, folder = packaged
    shutil.copy(built, folder / "prebuilt")
    with (folder / "cpu" / "facts.cpp").open("a") as file:
        file.write("// changed\n")
    said = f"no program '/no/such/compiler'; {built.name} in the package is of other sources"
    with pytest.raises(UserError, match=said):
        native_info()


def test_a_library_of_other_sources_is_refused_whatever_its_name(packaged):
    built, folder = packaged
    key = built.stem.rpartition("-")[2].encode()
    data = built.read_bytes()
    assert data.count(key) == 1
    (folder / "prebuilt" / built.name).write_bytes(data.replace(key, b"0123456789abcdef"))
    with pytest.raises(UserError, match="does not load .* is of other sources \\(0123456789abcdef\\)"):
        native_info()


def test_a_library_that_does_not_load_is_built_anew(packaged, tmp_path):
    built, folder = packaged
    (folder / "prebuilt" / built.name).write_bytes(b"for another processor")
    cache = tmp_path / "cache" / "gaussavatar" / "native" / "any-compiler"
    cache.mkdir(parents=True)
    shutil.copy(built, cache)
    assert native_info()["library"] == str(cache / built.name)


def test_failing_compiler_is_explained(unloaded, tmp_path):
    compiler = tmp_path / "bad-compiler"
    compiler.write_text("#!/bin/sh\necho 'fatal error: this compiler is broken' >&2\nexit 3\n")
    compiler.chmod(0o755)
    unloaded.setenv("CXX", str(compiler))
    unloaded.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(UserError, match="this compiler is broken"):
        native_library.load_library()
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_a_failed_build_is_remembered(unloaded, tmp_path):
    runs = tmp_path / "runs"
    compiler = tmp_path / "counting-compiler"
    compiler.write_text(f"#!/bin/sh\necho run >> {runs}\necho 'error: no' >&2\nexit 3\n")
    compiler.chmod(0o755)
    unloaded.setenv("CXX", str(compiler))
    unloaded.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(UserError) as first:
        native_library.load_library()
    after_first = runs.read_text()
    with pytest.raises(UserError) as second:
        get_rasterizer("cpu", "native")
    assert str(second.value) == str(first.value) and second.value is not first.value
    assert runs.read_text() == after_first != ""


def test_unwritable_cache_is_explained(unloaded, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    unloaded.setenv("XDG_CACHE_HOME", str(blocked))
    with pytest.raises(UserError, match="XDG_CACHE_HOME"):
        native_library.load_library()


QUICK = """#!/bin/sh
case "$*" in *-shared*) links=yes ;; esac
while [ "$1" != -o ]; do shift; done
[ -n "$links" ] || { : > "$2"; exit; }
sleep 0.5
echo 'extern "C" int ga_get_threads(int* n) { return *n = 1, 0; }' | c++ -shared -fPIC -x c++ - -o "$2"
"""
"""A compiler that makes a library of one function of any sources, so that building twice takes a second: whole builds
are those of ``make setup`` and of ``tests/cli/test_wheel.py``."""


def test_two_processes_may_build_at_once(tmp_path):
    compiler, out = tmp_path / "quick-compiler", tmp_path / "out"
    compiler.write_text(QUICK)
    compiler.chmod(0o755)
    code = (
        "from pathlib import Path; import ctypes, importlib.util as u; "
        f"s = u.spec_from_file_location('b', {str(sources() / 'build.py')!r}); m = u.module_from_spec(s); "
        f"s.loader.exec_module(m); p = m.build(Path({str(out)!r})); "
        "n = ctypes.c_int32(); ctypes.CDLL(str(p)).ga_get_threads(ctypes.byref(n)); print(n.value)"
    )
    command, environment = [sys.executable, "-c", code], {**os.environ, "CXX": str(compiler)}
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(2)]
    assert all(int(process.communicate()[0]) >= 1 for process in processes)
    assert len(list(out.iterdir())) == 1


@pytest.mark.slow
def test_the_shared_mathematics_compiles_for_cuda(tmp_path):
    """Runs nvcc, which takes seconds; checks that the kernels' mathematics stays in registers."""
    if shutil.which("nvcc") is None:
        pytest.skip("nvcc is not installed")
    kernel = tmp_path / "kernel.cu"
    kernel.write_text(
        '#include "blend_math.h"\n#include "ssim_math.h"\nusing namespace gaussavatar;\n'
        "__global__ void both(const Gaussian3<float>* g, Camera c, const Splat2Gradient<float>* v,\n"
        "                     Projection<float>* o, Gaussian3Gradient<float>* d) {\n"
        "  Projection<float> p;\n  project_forward(g[threadIdx.x], c, p);\n  o[threadIdx.x] = p;\n"
        "  project_backward(g[threadIdx.x], c, p, v[threadIdx.x], d[threadIdx.x]);\n}\n"
        "struct S { float qa, qb, qc, log_opacity, red, green, blue; };\n"
        "__global__ void pixel(S splat, float* x, PixelBlend<float>* p, PixelUnblend<float>* u,\n"
        "                      LayerShares<float>* l, WindowMeans<float>* m, WindowGradient<float>* g) {\n"
        "  bool alive = true;\n  const float power = log_alpha(splat, x[0], x[1]);\n"
        "  const bool hit = blend_splat(splat, power, *p, alive);\n"
        "  x[2] = unblend_splat(splat, power, hit, x[3], x[4], x[5], *u).g;\n"
        "  x[6] = over(x[0], x[1], x[2], x[3], x[4]), *l = over_backward(x[0], x[1], x[2], x[3], x[4]);\n"
        "  *g = similarity_backward(*m, similarity_of(*m), x[7]);\n"
        "  x[8] = blurred_backward(x[0], x[1], *g) + l1_backward(x[0], x[1]);\n}\n"
    )
    command = ["nvcc", "-arch=sm_90", "-O3", "-Xptxas", "-v", f"-I{sources() / 'include'}", "-c", str(kernel)]
    result = subprocess.run([*command, "-o", str(tmp_path / "k.o")], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert " 0 bytes spill stores" in result.stderr


@pytest.mark.usefixtures("types_unchecked")
def test_backends_that_cannot_run_here_are_explained():
    with pytest.raises(UserError, match="CUDA device"):
        get_rasterizer("cpu", "gsplat")
    with pytest.raises(UserError, match="native rasterizer"):
        get_rasterizer("cuda", "native")
    with pytest.raises(UserError, match="among auto"):
        get_rasterizer("cpu", "vulkan")
