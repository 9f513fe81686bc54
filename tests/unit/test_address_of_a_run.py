"""Every name in the address of a run's pages: forgotten with its run, or known to fit any run.

The names are found by reading the pages and all of deepfm/ui that they import: what is asked of
`st.query_params`, and the keys of widgets that are bound to it.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deepfm.ui import state
from deepfm.ui.links import PAGES

ROOT = Path(__file__).parents[2]

COMPREHENSIONS = (ast.GeneratorExp, ast.ListComp, ast.SetComp, ast.DictComp)

OF_ANY_RUN = {
    "run",
    "group",
    "dataset",
    "view",  # the open tab
    "recalibration",
    "click_value",
    "price",
    "cost_false_positive",
    "cost_false_negative",
}


@pytest.mark.parametrize("page", [page.name for page in PAGES if page.context == "run"])
def test_what_an_address_says_of_a_run_is_forgotten_with_it(page):
    sources = read(ROOT / "pages" / f"{page}.py")
    found = set().union(*(names_in(source, sources) for source in sources))
    assert {"run", "part"} <= found, "the reading finds names"
    new = found - OF_ANY_RUN - set(state.OF_A_RUN)
    assert not new, f"name {new} in state.OF_A_RUN, or in OF_ANY_RUN here"


def test_a_new_name_is_found_however_it_is_asked_for(tmp_path):
    file = tmp_path / "page.py"
    file.write_text("""
FIRST: Final = "first"
SEVERAL = ("second", "third")
st.query_params.get(FIRST)
for name in SEVERAL:
    st.query_params.pop(name, None)
if "fourth" in st.query_params:
    st.query_params["fifth"] = "1"
def amount(label, key):
    st.number_input(label, key=key, bind="query-params")
amount("Price", "sixth")
amount("Value", key="seventh")
chosen_in_address("eighth", options, "")
[st.query_params.get_all(low) for low in ("ninth",)]
""")
    sources = read(file)
    wanted = "first second third fourth fifth sixth seventh eighth ninth"
    assert names_in(sources[0], sources) == set(wanted.split())


@dataclass(frozen=True)
class Source:
    """A module read as text, and the strings that its constants hold."""

    tree: ast.Module
    constants: dict[str, set[str]]


def read(page: Path) -> list[Source]:
    """A page and all modules of deepfm/ui that it imports, directly or not."""
    files, waiting = {page: ast.parse(page.read_text(encoding="utf-8"))}, [page]
    while waiting:
        for file in imported(files[waiting.pop()]):
            if file not in files:
                files[file] = ast.parse(file.read_text(encoding="utf-8"))
                waiting.append(file)
    return [Source(tree, constants_of(tree)) for tree in files.values()]


def imported(tree: ast.Module) -> Iterator[Path]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("deepfm.ui"):
            for name in (node.module, *(f"{node.module}.{each.name}" for each in node.names)):
                file = ROOT / f"{name.replace('.', '/')}.py"
                if file.is_file():
                    yield file


def constants_of(tree: ast.Module) -> dict[str, set[str]]:
    found = {}
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            found[ast.unparse(target)] = strings(node.value)
    return found


def strings(node: ast.expr) -> set[str]:
    """What a literal holds: a string, or several."""
    parts = node.elts if isinstance(node, ast.Tuple | ast.List | ast.Set) else [node]
    return {
        part.value
        for part in parts
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    }


def names_in(source: Source, sources: list[Source]) -> set[str]:
    """Every name of the address that a module reads, writes, takes out or binds."""
    found: set[str] = set()
    for node in ast.walk(source.tree):
        for asked in asked_for(node):
            found |= resolved(asked, source, sources)
    return found


def asked_for(node: ast.AST) -> Iterator[ast.expr]:
    if isinstance(node, ast.Call):
        named = {keyword.arg: keyword.value for keyword in node.keywords}
        if "bind" in named:
            yield named["key"]
        function = ast.unparse(node.func)
        if node.args and (
            function in [f"st.query_params.{verb}" for verb in ("get", "get_all", "pop")]
            or function in ("chosen_in_address", "several_in_address")
        ):
            yield node.args[0]
    elif isinstance(node, ast.Subscript) and ast.unparse(node.value) == "st.query_params":
        yield node.slice
    elif isinstance(node, ast.Compare) and ast.unparse(node.comparators[0]) == "st.query_params":
        yield node.left


def resolved(asked: ast.expr, source: Source, sources: list[Source]) -> set[str]:
    """The strings that an expression can stand for: itself, a constant, a loop's, a caller's."""
    if literal := strings(asked):
        return literal
    name = ast.unparse(asked)
    for each in (source, *sources):
        if name.rpartition(".")[2] in each.constants:
            return each.constants[name.rpartition(".")[2]]
    found: set[str] = set()
    for node in around(asked, source.tree):
        loops = node.generators if isinstance(node, COMPREHENSIONS) else [node]
        for loop in loops:
            if isinstance(loop, ast.For | ast.comprehension) and ast.unparse(loop.target) == name:
                found |= strings(loop.iter) or source.constants.get(ast.unparse(loop.iter), set())
        if isinstance(node, ast.FunctionDef):
            parameters = [each.arg for each in node.args.args]
            if name in parameters:
                found |= passed(node.name, name, parameters.index(name), sources)
    return found


def around(inner: ast.expr, tree: ast.Module) -> Iterator[ast.AST]:
    """All that an expression stands in."""
    return (node for node in ast.walk(tree) if any(each is inner for each in ast.walk(node)))


def passed(function: str, name: str, place: int, sources: list[Source]) -> set[str]:
    """The strings that are passed to a function's parameter."""
    found: set[str] = set()
    for source in sources:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(function):
                named = [each.value for each in node.keywords if each.arg == name]
                for given in (*node.args[place : place + 1], *named):
                    found |= strings(given)
    return found
