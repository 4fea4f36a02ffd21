"""Plain data of a text in YAML, which may be a stranger's: it makes no objects, and no more of them than it shows."""

from __future__ import annotations

import re
from typing import Any

import yaml

MOST_VALUES = 20_000
"""Values of a text with every alias written out; the longest recipe of the package has 400."""


class _Loader(yaml.SafeLoader):
    """Safe YAML in which ``4e-5`` is a number, as in YAML 1.2; PyYAML's 1.1 wants ``4.0e-5``."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def read_yaml(text: str) -> Any:
    """Plain data of a text in YAML.

    Raises:
        yaml.YAMLError: it is none, holds itself, or stands for more than :data:`MOST_VALUES` values.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _values_of(node, {}) > MOST_VALUES:
            raise yaml.YAMLError(f"a value that holds itself, or more than {MOST_VALUES} of them")
        return loader.construct_document(node)
    # Dates and numbers that cannot be are told as ValueError, whatever kind of value they are.
    except (ValueError, OverflowError) as error:
        if isinstance(error, UnicodeError):
            raise
        raise yaml.YAMLError(f"a value that cannot be ({str(error)[:80]})") from error
    except RecursionError as error:
        raise yaml.YAMLError("lists in lists without end") from error
    finally:
        loader.dispose()


def _values_of(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node stands for with its aliases written out, at most one more than are allowed.

    Args:
        node: of the graph that aliases make of a text.
        known: counts by node; a node that is being counted counts as too many, for it holds itself.
    """
    if id(node) in known:
        return known[id(node)]
    known[id(node)] = MOST_VALUES + 1
    count = 1
    if isinstance(node, yaml.ScalarNode):
        # Base sixty and powers of digits cost more than their length.
        count = MOST_VALUES + 1 if len(node.value) > 10_000 and not node.tag.endswith(":str") else 1
    elif isinstance(node, yaml.CollectionNode):
        for part in node.value:
            for inner in part if isinstance(part, tuple) else (part,):
                count = min(count + _values_of(inner, known), MOST_VALUES + 1)
    known[id(node)] = count
    return count
