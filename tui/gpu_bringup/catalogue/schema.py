"""JSON Schemas of the data files, written from the dataclasses that the loader fills.

``python -m gpu_bringup.catalogue.schema FOLDER`` writes one file a kind of entry. They are for
editors and reviewers; the program itself checks with the dataclasses.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import sys
import types
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from gpu_bringup.catalogue.kinds import KINDS
from gpu_bringup.catalogue.values import Rule, Words, rules_of
from gpu_bringup.model.fabric_codes import LinkDown, LinkUnit, SwitchError
from gpu_bringup.model.failure import Failure
from gpu_bringup.model.lesson import CommandHelp, Lesson
from gpu_bringup.model.xid import Xid
from gpu_bringup.signing.consoles import Console

ENTRIES: dict[str, type] = {
    **{kind: cls for kind, (cls, _) in KINDS.items()},
    "failure": Failure,
    "xid": Xid,
    "sxid": SwitchError,
    "nvlink_unit": LinkUnit,
    "nvlink_down": LinkDown,
    "console": Console,
    "lesson": Lesson,
    "command": CommandHelp,
}
"""Table name in a file -> dataclass: what the catalogue holds, and what has a reader of its own."""

_SIMPLE = {str: "string", bool: "boolean", int: "integer", float: "number"}


def _type(kind: Any) -> dict[str, Any]:
    if kind in _SIMPLE:
        return {"type": _SIMPLE[kind]}
    if kind is date:
        return {"type": "string", "format": "date"}
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _type(next(item for item in arguments if item is not type(None)))
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return {"type": "array", "items": _type(arguments[0])}
        return {
            "type": "array",
            "prefixItems": [_type(item) for item in arguments],
            "minItems": len(arguments),
            "maxItems": len(arguments),
        }
    if isinstance(kind, type) and issubclass(kind, Enum):
        return {"enum": [item.value for item in kind]}
    return entry_schema(kind)


def _ruled(schema: dict[str, Any], rule: Rule | None) -> dict[str, Any]:
    """The type's schema with what its text, or each of its texts, may be."""
    if rule is None:
        return schema
    if "items" in schema:
        return {**schema, "items": _ruled(schema["items"], rule)}
    if isinstance(rule, Words):
        return {**schema, "enum": list(rule.words)}
    return {**schema, "pattern": rule.pattern}


def _descriptions(cls: type) -> dict[str, str]:
    """The texts below the fields, which Python itself throws away."""
    tree = ast.parse(inspect.getsource(cls)).body[0]
    found: dict[str, str] = {}
    name = ""
    for node in getattr(tree, "body", []):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name = node.target.id
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and name:
            found[name] = " ".join(str(node.value.value).split())
    return found


def entry_schema(cls: type) -> dict[str, Any]:
    """The closed schema of one kind of entry; each field's text in the model is its description."""
    hints, texts, rules = get_type_hints(cls), _descriptions(cls), rules_of(cls)
    properties: dict[str, Any] = {}
    required = []
    for field in dataclasses.fields(cls):
        kind = hints[field.name]
        text = texts.get(field.name)
        properties[field.name] = {
            **({"description": text} if text else {}),
            **_ruled(_type(kind), rules.get(field.name)),
        }
        default = field.default is dataclasses.MISSING
        if (
            default
            and field.default_factory is dataclasses.MISSING
            and type(None) not in get_args(kind)
        ):
            required.append(field.name)
    schema = {
        "type": "object",
        "description": " ".join((cls.__doc__ or "").split()),
        "additionalProperties": False,
        "properties": properties,
    }
    if "extends" not in properties:
        return {**schema, "required": required}
    # What it doesn't say itself it takes over from the one that it extends.
    return {
        **schema,
        "required": required[:1],
        "anyOf": [{"required": ["extends"]}, {"required": required[1:]}],
    }


def file_schema(kind: str) -> dict[str, Any]:
    """The schema of a file's tables of this kind."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": kind,
        "type": "object",
        "properties": {kind: {"type": "array", "items": entry_schema(ENTRIES[kind])}},
    }


def schema_files() -> dict[str, str]:
    """File name -> text of every schema."""
    return {
        f"{kind}.schema.json": json.dumps(file_schema(kind), indent=2) + "\n" for kind in ENTRIES
    }


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for file_name, file_text in schema_files().items():
        (folder / file_name).write_text(file_text, encoding="utf-8")
