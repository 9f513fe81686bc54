"""Imports point one way, and the light parts stay light."""

import ast
import importlib.metadata
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import deepfm

ROOT = Path(__file__).resolve().parents[2]

BASE = {"config", "errors", "events", "formats", "intervals", "locks", "terms", "versions"}
READERS = BASE | {"data", "trained", "evaluation", "explanation"}
SHOWN = READERS | {"charts", "report", "runs.store", "sweeps"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "terms": {"errors"},
    "config": {"errors", "terms"},
    "events": {"errors", "terms"},
    "formats": set(),
    "interrupts": set(),
    "intervals": set(),
    "locks": {"errors"},
    "setup": set(),
    "versions": set(),
    "progress": BASE,
    "data": BASE,
    "trained": BASE | {"data"},
    "evaluation": BASE | {"data", "trained"},
    "explanation": BASE | {"data", "trained", "evaluation"},
    "prediction": READERS,
    "report": READERS | {"charts"},
    "onnx_export": BASE | {"data", "trained"},
    "charts": READERS | {"sweeps"},
    "runs.store": BASE,
    "sweeps": BASE | {"data", "runs.store"},
    "model": BASE,
    "training": BASE | {"model", "data", "evaluation"},
    "runs.worker": READERS | {"training", "runs.store", "sweeps"},
    "classifier": READERS | {"model", "training"},
    "ui": SHOWN,
    "pages": SHOWN | {"ui"},
    "app": SHOWN | {"ui", "runs.worker"},  # only to start the worker, as a subprocess
}
"""Part to the parts it may import, itself apart."""
UNBOUND = {"", "__main__", "cli", "runs"}
"""deepfm/__init__ and the command line reach everything; deepfm/runs/__init__ holds nothing."""

ONLY_IN: dict[str, set[str]] = {
    "streamlit": {"ui", "pages", "app"},
    "torch": {"model", "training", "runs.worker", "classifier"},
    "sqlite3": {"runs.store"},
    "plotly": {"charts", "ui", "pages"},
}
HEAVY = {"torch", "streamlit", "sklearn", "pandas", "pyarrow", "plotly"}


@dataclass(frozen=True)
class Import:
    """One imported module, and where: `inner` inside a function, so not paid at import."""

    file: Path
    line: int
    module: str
    inner: bool

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {self.module}"


def sources() -> list[Path]:
    """Every Python file of the product."""
    return [ROOT / "app.py", *(ROOT / "pages").rglob("*.py"), *(ROOT / "deepfm").rglob("*.py")]


def part_of(module: str) -> str:
    """A module's part: deepfm.data.reader is "data", deepfm.runs.store "runs.store"."""
    names = module.removeprefix("deepfm").lstrip(".").split(".")
    two = ".".join(names[:2])
    return two if two in MAY_IMPORT else names[0]


def module_of(file: Path) -> str:
    """deepfm/data/reader.py is deepfm.data.reader, a package's __init__ the package."""
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports_of(file: Path) -> list[Import]:
    """All imports of a file, with `from deepfm.data import reader` as deepfm.data.reader."""
    tree = ast.parse(file.read_text("utf-8"), file)
    return list(_imports(tree, file, inner=False))


def _imports(node: ast.AST, file: Path, inner: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for name in child.names:
                yield Import(file, child.lineno, name.name, inner)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"{file}:{child.lineno}: imports are absolute here"
            assert child.module is not None
            for name in child.names:
                yield Import(file, child.lineno, _target(child.module, name.name), inner)
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _imports(child, file, inner=True)
        elif not _is_type_checking(child):
            yield from _imports(child, file, inner)
        else:
            yield from _imports(child, file, inner=True)


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def _target(module: str, name: str) -> str:
    """`name` may be a module, something in `module`, or a public name that deepfm loads lazily."""
    if module == "deepfm" and name in deepfm.__all__:
        return deepfm._HOMES[name]
    path = ROOT.joinpath(*module.split("."), name)
    is_module = path.with_suffix(".py").exists() or (path / "__init__.py").exists()
    return f"{module}.{name}" if is_module else module


ALL = [found for file in sources() for found in imports_of(file)]


def test_every_part_of_deepfm_has_its_arrows():
    parts = {part_of(module_of(file)) for file in sources()}
    assert parts - UNBOUND - set(MAY_IMPORT) == set()


def test_imports_point_one_way():
    wrong = [
        str(found)
        for found in ALL
        if found.module.split(".")[0] in ("deepfm", "pages", "app")
        and (part := part_of(module_of(found.file))) not in UNBOUND
        and part_of(found.module) not in MAY_IMPORT[part] | {part, ""}
    ]
    assert wrong == []


def test_the_arrows_have_no_circle():
    done: set[str] = set()
    left = {part: set(targets) for part, targets in MAY_IMPORT.items()}
    while left:
        free = {part for part, targets in left.items() if targets <= done}
        assert free, f"these import one another: {left}"
        done |= free
        left = {part: targets for part, targets in left.items() if part not in free}


@pytest.mark.parametrize("library", sorted(ONLY_IN))
def test_a_library_is_imported_only_where_it_belongs(library):
    wrong = [
        str(found)
        for found in ALL
        if found.module.split(".")[0] == library
        and part_of(module_of(found.file)) not in ONLY_IN[library] | {"cli"}
    ]
    assert wrong == []


def test_the_command_line_imports_torch_only_inside_its_verbs():
    wrong = [
        str(found)
        for found in ALL
        if part_of(module_of(found.file)) in ("cli", "__main__")
        and not found.inner
        and found.module.split(".")[0] in HEAVY
    ]
    assert wrong == []


def test_scikit_learn_is_imported_inside_functions():
    """All but the estimator, which must inherit from scikit-learn and is itself loaded lazily."""
    wrong = [
        str(found)
        for found in ALL
        if found.module.split(".")[0] == "sklearn"
        and not found.inner
        and part_of(module_of(found.file)) != "classifier"
    ]
    assert wrong == []


def test_the_run_store_needs_the_standard_library_alone():
    wrong = [
        str(found)
        for found in ALL
        if part_of(module_of(found.file)) == "runs.store"
        and found.module.split(".")[0] not in sys.stdlib_module_names | {"deepfm"}
    ]
    assert wrong == []


def test_no_file_beside_the_main_script_hides_a_library():
    """Streamlit puts the main script's folder first on the path."""
    hidden = sys.stdlib_module_names | set(importlib.metadata.packages_distributions())
    names = {path.stem for path in (ROOT / "deepfm" / "ui").iterdir()}
    assert names & (hidden - {"__init__", "__pycache__"}) == set()


def python(code: str, *flags: str) -> str:
    """What a fresh Python prints, run from the root."""
    done = subprocess.run(
        [sys.executable, *flags, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded_by(statement: str) -> set[str]:
    """Top-level names in sys.modules after a statement in a fresh Python."""
    code = f"{statement}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    return set(python(code).split())


def test_importing_deepfm_loads_no_library():
    assert loaded_by("import deepfm") & (HEAVY | {"numpy"}) == set()


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("deepfm.runs.store", HEAVY | {"numpy"}),
        ("deepfm.sweeps", HEAVY | {"numpy", "optuna"}),
        ("deepfm.runs.worker", {"torch", "streamlit", "sklearn", "pandas"}),
        ("deepfm.cli", {"torch", "streamlit", "sklearn", "plotly"}),
        ("deepfm.trained", {"torch", "streamlit", "sklearn", "plotly"}),
        ("deepfm.evaluation", {"torch", "streamlit", "sklearn", "plotly"}),
        ("deepfm.explanation", {"torch", "streamlit", "sklearn", "plotly"}),
        ("deepfm.charts", {"torch", "streamlit", "sklearn"}),
        ("deepfm.data.dataset", {"torch", "streamlit", "sklearn", "plotly"}),
    ],
)
def test_a_light_module_loads_no_heavy_library(module, absent):
    assert loaded_by(f"import {module}") & absent == set()


def test_setting_up_needs_the_standard_library_alone():
    python("import deepfm.setup, deepfm.__main__, tests.__main__", "-S")


def test_everything_but_ui_works_without_streamlit():
    python(
        """
import importlib, pkgutil, sys

class NoStreamlit:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "streamlit":
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, NoStreamlit())
import deepfm
for name in deepfm.__all__:
    getattr(deepfm, name)
for module in pkgutil.walk_packages(deepfm.__path__, "deepfm."):
    if not module.name.startswith("deepfm.ui"):
        importlib.import_module(module.name)
"""
    )
