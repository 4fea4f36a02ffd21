"""ES modules of ours as one classic script: what a page that was opened from disk can run.

From ``file://`` a browser loads neither module scripts nor workers from other files. So every module becomes a
function whose parameters are its imports and whose value is its exports, in the order of what needs what; names of
different modules cannot meet. Only the forms of ``import`` and ``export`` that our modules use are known, each at the
beginning of a line; anything else is a fault of ours and raises.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass

IMPORT = re.compile(
    r"""^import\s+(?:(?P<what>\{[^}]*\}|\*\s+as\s+\w+)\s+from\s+)?["'](?P<path>[^"']+)["'];?[^\S\n]*$""", re.M
)
REEXPORT = re.compile(r"""^export\s+(?P<what>\{[^}]*\})\s+from\s+["'](?P<path>[^"']+)["'];?[^\S\n]*$""", re.M)
LISTED = re.compile(r"^export\s+(?P<what>\{[^}]*\});?[^\S\n]*$", re.M)
DECLARED = re.compile(r"^export\s+(?P<word>(?:async\s+)?function\s*\*?|class|const|let)\s+(?P<name>[\w$]+)", re.M)
SEVERAL = re.compile(r"^export\s+(?:const|let)\s+(?P<rest>(?:[\w$]+\s*=\s*[-+.\w*/ ()]+,\s*)+[\w$]+\s*=)", re.M)
COMMENT = re.compile(r"/\*\*.*?\*/|^[^\S\n]*//[^\n]*\n", re.M | re.S)
"""What is left out: JSDoc, and lines that are nothing but a comment."""
LEFT = re.compile(r"^(?:import|export)\b.*$|\bimport\.meta\b.*$|\bimport\(.*$", re.M)
OTHER_SCRIPT = re.compile(r"""new\s+URL\(\s*["'](?P<path>\./[\w./-]+\.js)["']\s*,\s*import\.meta\.url\s*\)""")
"""How a module names the script of a worker or a worklet."""
PLACE = "scriptUrl"
"""Name, in a bundle, of the function that gives the address of another script that is inside it."""
_MODULE_TYPE = re.compile(rf"({PLACE}\([^()]*\))\s*,\s*\{{\s*type:\s*[\"']module[\"']\s*\}}")

_SCRIPT_URL = """const __scripts = { %s };
function scriptUrl(name) {
  const parts = __scripts[name]().map(([variable, made, given]) => `const ${variable} = (${made})(${given});\\n`);
  // An AudioWorklet of a page from disk takes data: addresses only; a worker takes both.
  return "data:text/javascript;charset=utf-8," + encodeURIComponent('"use strict";\\n' + parts.join(""));
}
"""
"""Another script is put together from the functions that the bundle has anyway: their text is in it once."""


class BundleError(Exception):
    """A module says something that the bundler does not know; the modules are ours, so that it is a fault of ours."""


@dataclass(frozen=True)
class Module:
    """One module, taken apart."""

    path: str
    body: str
    """Without imports and exports."""
    imports: tuple[tuple[str, str], ...]
    """A parameter pattern, ``{ a, b: c }`` or a name, and the path of the module that it takes from."""
    exports: tuple[tuple[str, str], ...]
    """Name outside, expression inside."""
    scripts: tuple[str, ...]
    """Paths of the scripts of workers and worklets that it starts."""


def bundle(sources: Mapping[str, str], entry: str, name: str = "") -> str:
    """One classic script of a module and everything that it imports.

    Args:
        sources: text of the modules by their path, with ``/``, such as ``speech/mel.js``.
        entry: path of the module to begin with.
        name: global that its exports become; none when empty.

    Raises:
        BundleError: a module that is not there, a circle, or a form of import or export that is not known.
    """
    return f"(() => {{\n{_body(sources, entry)}{f'globalThis.{name} = {_variable(entry)};' if name else ''}\n}})();\n"


def as_module(sources: Mapping[str, str], entry: str) -> str:
    """The same as one ES module with the entry's exports.

    Raises:
        BundleError: see :func:`bundle`.
    """
    names = ", ".join(outside for outside, _ in in_order(sources, entry)[-1].exports)
    return f"{_body(sources, entry)}export const {{ {names} }} = {_variable(entry)};\n"


def _body(sources: Mapping[str, str], entry: str) -> str:
    modules = in_order(sources, entry)
    started = {
        path: in_order(sources, path) for path in sorted({path for module in modules for path in module.scripts})
    }
    inner = {module.path: module for script in started.values() for module in script}
    if nested := [path for path, module in inner.items() if module.scripts]:
        raise BundleError(f"{nested[0]} starts a script, and is itself part of one")
    parts = []
    if started:
        lists = (f"{json.dumps(path)}: () => [{', '.join(map(_told, script))}]" for path, script in started.items())
        parts.append(_SCRIPT_URL % ", ".join(lists))
    done = {module.path for module in modules}
    parts.extend(_factory(module) for path, module in inner.items() if path not in done)
    for module in modules:
        shared = module.path in inner
        made = _made(module.path) if shared else f"({_function(module)})"
        parts.append(
            (_factory(module) if shared else "") + f"const {_variable(module.path)} = {made}({_given(module)});\n"
        )
    return "".join(['"use strict";\n', *parts])


def in_order(sources: Mapping[str, str], entry: str) -> list[Module]:
    """The entry and everything that it imports, each after what it needs.

    Raises:
        BundleError: see :func:`bundle`.
    """
    done: dict[str, Module] = {}
    waiting: list[str] = []

    def visit(path: str) -> None:
        if path in done:
            return
        if path in waiting:
            raise BundleError(f"a circle: {' -> '.join([*waiting, path])}")
        if path not in sources:
            raise BundleError(f"{waiting[-1] if waiting else 'the page'} imports {path}, which is not there")
        waiting.append(path)
        module = taken_apart(path, sources[path])
        for _, needed in module.imports:
            visit(needed)
        done[waiting.pop()] = module

    visit(entry)
    return list(done.values())


def taken_apart(path: str, text: str) -> Module:
    """A module's imports, exports and what remains of it.

    Raises:
        BundleError: a form that is not known.
    """
    imports: list[tuple[str, str]] = []
    exports: list[tuple[str, str]] = []
    scripts: list[str] = []

    def beside(relative: str) -> str:
        if not relative.startswith("."):
            raise BundleError(f"{path} imports {relative}, which is not one of our files")
        return posixpath.normpath(posixpath.join(posixpath.dirname(path), relative))

    def imported(match: re.Match[str]) -> str:
        what = match["what"] or "{}"
        pattern = what.split()[-1] if what.startswith("*") else re.sub(r"\s+as\s+", ": ", what)
        imports.append((pattern, beside(match["path"])))
        return ""

    def passed_on(match: re.Match[str]) -> str:
        holder = f"__from{len(imports)}"
        imports.append((holder, beside(match["path"])))
        exports.extend((outside, f"{holder}.{inside}") for inside, outside in _names(match["what"]))
        return ""

    def listed(match: re.Match[str]) -> str:
        exports.extend((outside, inside) for inside, outside in _names(match["what"]))
        return ""

    def declared(match: re.Match[str]) -> str:
        exports.append((match["name"], match["name"]))
        return match[0].removeprefix("export").lstrip()

    def started(match: re.Match[str]) -> str:
        scripts.append(beside(match["path"]))
        return f"{PLACE}({json.dumps(scripts[-1])})"

    text = COMMENT.sub("", text)
    for match in SEVERAL.finditer(text):
        # The first name is found below, with the word that declares it.
        names = re.findall(r"([\w$]+)\s*=", match["rest"])[1:]
        exports.extend((name, name) for name in names)
    for form, change in ((IMPORT, imported), (REEXPORT, passed_on), (LISTED, listed), (DECLARED, declared)):
        text = form.sub(change, text)
    text = _MODULE_TYPE.sub(r"\1", OTHER_SCRIPT.sub(started, text))
    if left := LEFT.search(text):
        raise BundleError(f"{path}: the bundler does not know {left[0][:80]!r}")
    return Module(path, text.strip("\n"), tuple(imports), tuple(exports), tuple(scripts))


def _names(braces: str) -> list[tuple[str, str]]:
    """``{ a, b as c }`` as pairs of the name inside and outside."""
    words = [part.split() for part in braces.strip("{} \n").split(",") if part.strip()]
    return [(part[0], part[-1]) for part in words]


def _function(module: Module) -> str:
    parameters = ", ".join(pattern for pattern, _ in module.imports)
    exports = ", ".join(f"{outside}: {inside}" for outside, inside in module.exports)
    # The value is read when the module has run; our modules do not export what changes later.
    return f"function ({parameters}) {{\n{module.body}\nreturn {{ {exports} }};\n}}"


def _factory(module: Module) -> str:
    return f"const {_made(module.path)} = {_function(module)};\n"


def _given(module: Module) -> str:
    return ", ".join(_variable(path) for _, path in module.imports)


def _told(module: Module) -> str:
    return f"[{json.dumps(_variable(module.path))}, {_made(module.path)}, {json.dumps(_given(module))}]"


def _made(path: str) -> str:
    return "_" + _variable(path)


def _variable(path: str) -> str:
    return "$" + re.sub(r"\W", "_", path.removesuffix(".js"))
