"""The stubs of the compiled module say what it has: neither more nor less."""

from __future__ import annotations

import ast
from pathlib import Path
from types import GetSetDescriptorType, MemberDescriptorType, ModuleType
from typing import Any

import orchestra
from orchestra import _core

# A class's functions by name, each with its parameters; None stands for a property.
Members = dict[str, "list[str] | None"]

_STUBS = ast.parse((Path(orchestra.__file__).parent / "_core.pyi").read_text())


def _parameters(function: ast.FunctionDef) -> list[str]:
    """Names in order, `=value` behind those with a default, `*` before those that are keyword-only; without self."""
    arguments = function.args
    plain = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(plain) - len(arguments.defaults)) + list(arguments.defaults)
    shown = [_shown(argument, default) for argument, default in zip(plain, defaults, strict=True)]
    if arguments.kwonlyargs:
        shown.append("*")
        shown += [_shown(*pair) for pair in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    return shown[1:] if shown[:1] == ["self"] else shown


def _shown(argument: ast.arg, default: ast.expr | None) -> str:
    return argument.arg if default is None else f"{argument.arg}={ast.unparse(default)}"


def _is_public(name: str) -> bool:
    return not name.startswith("_") or name == "__init__"


def _is(function: ast.FunctionDef, decorator: str) -> bool:
    return decorator in [ast.unparse(item) for item in function.decorator_list]


def _stub_functions(body: list[ast.stmt]) -> Members:
    functions = [node for node in body if isinstance(node, ast.FunctionDef) and _is_public(node.name)]
    return {node.name: None if _is(node, "property") else _parameters(node) for node in functions}


def _bound_parameters(function: Any) -> list[str]:
    """As the first line of the docstring of a bound function tells them."""
    signature = function.__doc__.splitlines()[0]
    node = ast.parse(f"def {signature}: ...").body[0]
    assert isinstance(node, ast.FunctionDef)
    return _parameters(node)


def _bound_functions(holder: type | ModuleType) -> Members:
    members: Members = {}
    for name, value in vars(holder).items():
        if not _is_public(name) or isinstance(value, type | str):
            continue
        if isinstance(value, property | GetSetDescriptorType | MemberDescriptorType):
            members[name] = None
        elif name != "__init__" or value.__doc__.startswith("__init__(self:"):  # else there is no constructor
            members[name] = _bound_parameters(getattr(holder, name))
    return members


def _stub_classes() -> dict[str, Members]:
    return {node.name: _stub_functions(node.body) for node in _STUBS.body if isinstance(node, ast.ClassDef)}


def _bound_classes() -> dict[str, Members]:
    return {
        name: _bound_functions(value)
        for name, value in vars(_core).items()
        if isinstance(value, type) and _is_public(name)
    }


def test_the_stubs_have_the_classes_of_the_module_with_their_functions_and_parameters() -> None:
    assert _stub_classes() == _bound_classes()


def test_the_stubs_have_the_functions_of_the_module_with_their_parameters() -> None:
    assert _stub_functions(_STUBS.body) == _bound_functions(_core)


def test_the_stubs_have_the_constants_of_the_module() -> None:
    constants = {ast.unparse(node.target) for node in _STUBS.body if isinstance(node, ast.AnnAssign)}
    assert constants == {name for name, value in vars(_core).items() if _is_public(name) and isinstance(value, str)}


def test_the_stubs_call_static_what_is_static() -> None:
    stub = {
        (node.name, item.name)
        for node in _STUBS.body
        if isinstance(node, ast.ClassDef)
        for item in node.body
        if isinstance(item, ast.FunctionDef) and _is(item, "staticmethod")
    }
    bound = {
        (name, member)
        for name, value in vars(_core).items()
        if isinstance(value, type)
        for member, function in vars(value).items()
        if isinstance(function, staticmethod)
    }
    assert stub == bound
