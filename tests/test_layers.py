"""The house has floors, and imports only go down."""

import ast
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

SERVICE = Path(__file__).parent.parent / "service"
PACKAGE = SERVICE / "softgate"

# Bottom first: each floor, and the floors it may import besides itself.
FLOORS = {
    "errors": set(),
    "types": set(),
    # Raises ValueError only, so it has no use for our errors.
    "numerics": {"types"},
    "runtime": {"errors", "types", "numerics"},
    "policy": {"errors", "types", "numerics", "runtime"},
    "workbench": {"errors", "types", "numerics", "runtime", "policy"},
    "settings": {"errors"},
    # Answers requests; the offline verbs are not among them.
    "web": {"errors", "types", "numerics", "runtime", "policy", "settings"},
    "client": {"errors"},
    "commands": {"errors", "types", "numerics", "runtime", "policy", "workbench", "settings", "web", "client"},
    "cli": {"errors", "settings", "commands"},
    "__main__": {"cli"},
}
# What each floor may import from outside the standard library.
ALLOWED = {
    "errors": set(),
    "types": {"numpy"},
    "numerics": {"numpy", "scipy.special"},
    "runtime": {"numpy", "onnx", "onnxruntime", "tokenizers", "PIL"},
    "policy": {"numpy"},
    # uvicorn: the bare answer that a benchmark compares with.
    "workbench": {"numpy", "onnx", "matplotlib", "uvicorn"},
    "settings": {"pydantic", "pydantic_settings"},
    "web": {
        "numpy",
        "fastapi",
        "starlette",
        "pydantic",
        "uvicorn",
        "httptools",
        "msgspec",
        "orjson",
        "grpc",
        "google.protobuf",
    },
    # rich: a progress bar.
    "client": {"httpx2", "msgspec", "rich"},
    "commands": {"numpy", "rich", "msgspec"},
    "cli": {"typer", "rich"},
    "__main__": set(),
}


def module(path: Path) -> str:
    return ".".join(path.relative_to(SERVICE).with_suffix("").parts).removesuffix(".__init__")


PATHS = {module(path): path for path in sorted(PACKAGE.rglob("*.py"))}
# The root holds nothing but the version.
MODULES = sorted(PATHS.keys() - {"softgate"})


def imports(name: str) -> Iterator[str]:
    """The modules that a module imports anywhere in its file; of another package, the names it takes too."""
    for node in ast.walk(ast.parse(PATHS[name].read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            assert node.level == 0, f"{name}: wanted absolute imports."
            members = {f"{source}.{alias.name}" for alias in node.names}
            yield from members & PATHS.keys() or {source}


def floor(name: str) -> str:
    return name.split(".")[1]


def ours(name: str) -> set[str]:
    """The modules of the package that one of them imports, the root left out."""
    return {imported for imported in imports(name) if imported.startswith("softgate.")}


def is_allowed(imported: str, allowed: set[str]) -> bool:
    return any(f"{imported}.".startswith(f"{package}.") for package in allowed)


def test_every_floor_has_a_row_in_both_tables() -> None:
    assert {floor(name) for name in MODULES} <= FLOORS.keys()
    assert FLOORS.keys() == ALLOWED.keys()


def test_floors_are_listed_bottom_first() -> None:
    order = list(FLOORS)

    assert all(order.index(below) < order.index(name) for name, lower in FLOORS.items() for below in lower)


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_down(name: str) -> None:
    assert {floor(imported) for imported in ours(name)} <= FLOORS[floor(name)] | {floor(name)}


@pytest.mark.parametrize("name", MODULES)
def test_a_floor_imports_only_the_libraries_it_is_meant_for(name: str) -> None:
    foreign = {imported for imported in imports(name) if imported.partition(".")[0] != "softgate"}
    libraries = {imported for imported in foreign if imported.partition(".")[0] not in sys.stdlib_module_names}

    assert [imported for imported in libraries if not is_allowed(imported, ALLOWED[floor(name)])] == []


@pytest.mark.parametrize("name", MODULES)
def test_no_module_imports_the_package_it_lives_in(name: str) -> None:
    # A package's __init__ is the registry over its modules: they do not know it.
    packages = {name.rsplit(".", levels)[0] for levels in range(1, name.count(".") + 1)}

    assert ours(name) & packages == set()


def test_no_modules_import_each_other_in_a_circle() -> None:
    tuple(TopologicalSorter({name: ours(name) for name in MODULES}).static_order())


def test_only_one_module_imports_onnxruntime() -> None:
    importers = [name for name in MODULES if any(is_allowed(imported, {"onnxruntime"}) for imported in imports(name))]

    assert importers == ["softgate.runtime.session"]


def test_nothing_but_the_settings_reads_the_environment() -> None:
    readers = {
        name
        for name in MODULES
        for node in ast.walk(ast.parse(PATHS[name].read_text()))
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv"}
    }

    # The session only writes, before it imports its library.
    assert readers <= {"softgate.settings", "softgate.runtime.session"}
