"""Modules as one classic script: run in node, it does what the modules do, and nothing of it leaks."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from gaussavatar.export.web.bundle import BundleError, as_module, bundle, in_order, taken_apart
from gaussavatar.export.web.page import inline

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="no node on this machine")

SOURCES = {
    "main.js": """// The entry.
import { add, twice as double } from "./math/sums.js";
import * as names from "./names.js";
import {
  Counter,
  base,
} from "./counter.js";
import "./effect.js";

const local = "main";
export const worker = new URL("./work.js", import.meta.url).length;
/** Says {@link import("./names.js").first} and more. */
export function say() {
  const told = [add(1, 2), double(4), names.first, names.second, names.third(), new Counter().next()];
  return [...told, base, local, globalThis.ran];
}
export { local as renamed };
""",
    "math/sums.js": """import { local } from "../names.js";
export const add = (a, b) => a + b;
export const twice = (x) => add(x, x) + local * 0;
""",
    "names.js": """export const first = 1, second = -2.5;
export async function later() {}
export function third() { return "three"; }
export const local = 7;
""",
    "counter.js": """import { local as base } from "./names.js";
export class Counter { next() { return base + 1; } }
export { base };
export { first as one } from "./names.js";
""",
    "effect.js": "globalThis.ran = (globalThis.ran ?? 0) + 1;\n",
    "work.js": """import { add } from "./math/sums.js";
if (typeof WorkerGlobalScope !== "undefined") self.onmessage = ({ data }) => postMessage(add(data, 1));
globalThis.worked = add(40, 2);
""",
}
SAID = [3, 8, 1, -2.5, "three", 8, 7, "main", 1]


def node(code: str, path: Path) -> str:
    path.write_text(code)
    done = subprocess.run([NODE, str(path)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_modules_come_after_what_they_need() -> None:
    order = [module.path for module in in_order(SOURCES, "main.js")]
    assert order == ["names.js", "math/sums.js", "counter.js", "effect.js", "main.js"]


@needs_node
def test_bundle_does_what_the_modules_do(tmp_path: Path) -> None:
    script = bundle(SOURCES, "main.js", "Made")
    script += "console.log(JSON.stringify([Made.say(), Made.renamed, 'add' in globalThis]))"
    told = node(script, tmp_path / "x.cjs")
    assert json.loads(told) == [SAID, "main", False]


@needs_node
def test_bundle_as_a_module_has_its_exports(tmp_path: Path) -> None:
    (tmp_path / "made.mjs").write_text(as_module(SOURCES, "main.js"))
    code = 'import { say, renamed } from "./made.mjs"; console.log(JSON.stringify([say(), renamed]))'
    assert json.loads(node(code, tmp_path / "x.mjs")) == [SAID, "main"]


@needs_node
def test_a_workers_script_is_inside(tmp_path: Path) -> None:
    sources = {**SOURCES, "main.js": 'export const at = new URL("./work.js", import.meta.url), type = 1;\n'}
    code = bundle(sources, "main.js", "Made")
    code += (
        "eval(decodeURIComponent(Made.at.slice(Made.at.indexOf(',') + 1))); console.log(Made.at.slice(0, 20), worked)"
    )
    assert node(code, tmp_path / "x.cjs").split() == ["data:text/javascript", "42"]
    started = 'new Worker(new URL("./work.js", import.meta.url), { type: "module" });\n'
    assert "module" not in taken_apart("main.js", started).body, "the script in it is a classic one"


def test_what_page_and_worker_share_is_in_the_page_once() -> None:
    code = bundle(SOURCES, "main.js")
    assert [code.count(text) for text in ("(a, b) => a + b", "add(data, 1)", "double(4)")] == [1, 1, 1]


@pytest.mark.parametrize(
    "text, part",
    [
        ('import React from "react";\n', "does not know"),
        ('import { x } from "react";\n', "not one of our files"),
        ('import { x } from "./nowhere.js";\n', "not there"),
        ("export default 5;\n", "does not know"),
        ('const x = await import("./names.js");\n', "does not know"),
        ("const here = import.meta.url;\n", "does not know"),
        ('import { x } from "./main.js";\n', "circle"),
    ],
)
def test_what_is_not_known_is_not_passed_over(text: str, part: str) -> None:
    with pytest.raises(BundleError, match=part):
        bundle({**SOURCES, "main.js": text}, "main.js")


def test_nothing_in_a_script_ends_its_element() -> None:
    assert inline('a = "</script><!-- </SCRIPT x>";') == 'a = "\\x3C/script>\\x3C!-- \\x3C/SCRIPT x>";'
