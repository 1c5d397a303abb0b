"""Imports point one way only, and ``import nnx`` stays light."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support import rooms
from support.places import TESTS
from support.rooms import RANK, ROOT, imported, modules, room_imported, room_of

from nnx.backends import Backend

FORBIDDEN_IN_THE_MIDDLE = {"numpy", "cupy", "cupyx", "scipy", "numba"}
HEAVY = {
    "cupy", "sklearn", "scipy", "keras", "tensorflow", "matplotlib", "numba", "rich", "pooch", "click",
    "safetensors", "requests", "pandas", "polars", "pyarrow", "mpi4py", "onnx", "PIL", "jinja2",
    "mlflow", "tensorboardX",
}  # fmt: skip


def test_every_room_has_its_place_in_the_order():
    assert {room_of(path) for path in modules()} <= set(RANK)


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_point_one_way(path):
    room = room_of(path)
    wrong = [
        f"{path.relative_to(ROOT.parent)}:{line}: {room} imports {name}"
        for line, name in imported(path)
        if (target := room_imported(name)) not in (None, room) and RANK[target] >= RANK[room]
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "path",
    [path for path in modules() if room_of(path) in ("layers", "losses", "optimizers")],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_layers_losses_and_optimizers_know_no_array_library(path):
    wrong = [name for _, name in imported(path) if name.split(".")[0] in FORBIDDEN_IN_THE_MIDDLE]
    assert not wrong


def test_only_compiled_forms_know_numba():
    """They are in files whose names end in _numba; only those and the backend that has them import them."""
    for path in modules():
        if path.stem.endswith("_numba") or path.name == "numba_backend.py":
            continue
        for line, name in imported(path):
            parts = name.split(".")
            found = parts[0] in ("numba", "llvmlite") or any(part.endswith("_numba") for part in parts)
            assert not found, f"{path}:{line} imports {name}"


def test_a_backend_holds_no_formula():
    """What `Backend` defines itself is about arrays and devices; every operation comes from `nnx.ops`."""
    for name, value in inspect.getmembers(Backend, callable):
        if not name.startswith("_"):
            where = inspect.getmodule(value).__name__
            arithmetic = inspect.getsource(value).count("xp.")
            assert where.startswith("nnx.ops.") or name in ("empty", "zeros") or not arithmetic, name


def test_nothing_loads_pickles():
    for path in modules():
        for line, name in imported(path):
            assert name.split(".")[0] not in ("pickle", "dill", "cloudpickle"), f"{path}:{line}"
        assert "allow_pickle=True" not in path.read_text(encoding="utf-8"), path


def test_the_checks_see_a_wrong_arrow(tmp_path, monkeypatch):
    """The reader of imports finds what it must: plain, from, relative, and inside a function."""
    (tmp_path / "layers").mkdir()
    (tmp_path / "cli").mkdir()
    (tmp_path / "network.py").write_text("")
    path = tmp_path / "layers" / "bad.py"
    path.write_text(
        "import nnx.network\nfrom nnx import cli, Network\nfrom ..network import Network\n"
        "def f():\n    import numpy as np\n    from nnx.cli.run import main\n"
    )
    monkeypatch.setattr(rooms, "ROOT", tmp_path)
    found = {name: room_imported(name) for _, name in imported(path)}
    assert found == {
        "nnx.network": "network", "nnx.cli": "cli", "nnx.Network": "nnx", "nnx.network.Network": "network",
        "numpy": None, "nnx.cli.run.main": "cli",
    }  # fmt: skip


# ------------------------------------------------------------------------------- the tests' own order

THEMES = {
    "documents": "pages, examples and the site",
    "extending": "classes, operations and experiments that users add",
    "fuzz": "hostile files by the thousand, a program to run by hand",
    "hostile": "files made to do harm",
    "kills": "runs that are killed or interrupted",
    "ladder": "what is known of the GPU without one",
    "memory": "memory that is freed, or too little",
    "mistakes": "what users do wrong, and what nnx answers",
    "package": "rules for the whole package, and what is published",
    "parity": "the same numbers: twice, on each device, in other frameworks",
    "soak": "hours of training and kills, programs to run by hand",
}
TEST_MODULES = sorted(TESTS.rglob("test_*.py"))
EXERCISES = (ROOT / "course" / "tasks", ROOT / "course" / "solutions")  # one contract: course/test_task
MODULES = sorted(
    path for path in ROOT.rglob("*.py") if not path.stem.startswith("__") and path.parent not in EXERCISES
)
WITHOUT_A_TEST_MODULE = {  # where their tests are, and why not in a module of their name
    "backends/cublas": "ladder/test_cublas: it needs a GPU, or the stand-in for CuPy",
    "backends/cublaslt": "ladder/test_cublaslt: it needs a GPU, or the stand-in for CuPy",
    "backends/cupy_backend": "ladder, parity/test_gpu: it needs a GPU, or the stand-in for CuPy",
    "backends/cupy_capture": "ladder/test_replay: it needs a GPU, or the stand-in for CuPy",
    "backends/cupy_devices": "ladder, parity/test_gpu: it needs a GPU, or the stand-in for CuPy",
    "backends/cupy_staging": "ladder, parity/test_gpu: it needs a GPU, or the stand-in for CuPy",
    "callbacks": "training/test_callbacks: only names",
    "checkpoints": "training/checkpoints: only names",
    "cli/declared": "cli/test_run, extending/test_new_experiment: it joins other modules",
    "data/device_rows": "data/test_checking, ladder/test_arrays_on_device: it needs a GPU or the stand-in",
    "distributed/nccl": "ladder/test_ranks: it needs GPUs, or the stand-in for CuPy",
    "experiments/applying": "experiments/test_experiments_old_names: only an old name",
    "experiments/compare/workers/jax_worker": "experiments/compare/test_workers: one contract",
    "experiments/compare/workers/keras_worker": "experiments/compare/test_workers: one contract",
    "experiments/compare/workers/nnx_worker": "experiments/compare/test_workers: one contract",
    "experiments/compare/workers/sklearn_worker": "experiments/compare/test_workers: one contract",
    "experiments/compare/workers/torch_worker": "experiments/compare/test_workers: one contract",
    "experiments/own_config": "experiments/test_experiments_old_names: only an old name",
    "experiments/own_data": "experiments/test_experiments_old_names: only an old name",
    "interop/onnx_shapes": "interop/test_onnx_follow, interop/test_onnx_layouts: part of reading a file",
    "interop/onnx_step": "interop/test_onnx: what the readers of operators get",
    "layers/convolution_base": "layers/test_convolution: only a base class",
    "metrics/names": "metrics/test_choice, metrics/test_formulas: only names",
    "ops/columns_numba": "ops/test_convolution_numba: only convolutions call it",
    "ops/base": "all tests of ops: only base classes",
    "ops/convolution_cuda": "ops/test_convolution, ladder: it needs a GPU, or the stand-in for CuPy",
    "ops/depthwise_numba": "ops/test_convolution_numba: only convolutions call it",
    "ops/losses_base": "ops/test_losses: what its kinds share",
    "ops/losses_classes": "ops/test_losses: one contract for all kinds",
    "ops/losses_cuda": "ops/test_losses, ladder: it needs a GPU, or the stand-in for CuPy",
    "ops/losses_distributions": "ops/test_losses: one contract for all kinds",
    "ops/normalization_cuda": "ladder/test_kernels_compute: only kernels",
    "ops/products_numba": "ops/test_dense_numba, ops/test_convolution_numba: only layers call it",
    "ops/small_network_numba": "training/test_small: only fit calls it",
    "training/device_steps": "ladder/test_replay, parity/test_gpu: it needs a GPU, or the stand-in for CuPy",
    "training/replay": "ladder/test_replay: it needs a GPU, or the stand-in for CuPy",
}


def has_its_place(path: Path) -> bool:
    """Whether the package has that folder, with a module of that name or of its beginning; or a theme has."""
    *folders, name = path.relative_to(TESTS).parts
    room, about = ROOT.joinpath(*folders), name.removeprefix("test_").removesuffix(".py")
    if not room.is_dir():
        return len(folders) == 1 and folders[0] in THEMES
    known = {module.stem for module in room.iterdir()} | {*folders[-1:]}
    return any(about == one or about.startswith(f"{one}_") for one in known)


def test_test_modules_are_where_the_code_is_that_they_test():
    assert [path for path in TEST_MODULES if not has_its_place(path)] == []


def test_a_module_has_a_test_module_of_its_name():
    """Or it is in the list above, with a reason; nothing else is."""
    without = []
    for path in MODULES:
        *folders, name = path.relative_to(ROOT).parts
        if not TESTS.joinpath(*folders, f"test_{name}").exists():
            without.append("/".join([*folders, path.stem]))
    assert without == sorted(WITHOUT_A_TEST_MODULE)


@pytest.mark.parametrize(
    ("place", "right"),
    [
        ("layers/test_dense.py", True),
        ("layers/test_layers_by_name.py", True),
        ("layers/test_adam.py", False),
        ("parity/test_keras.py", True),
        ("parity/more/test_keras.py", False),
        ("others/test_dense.py", False),
        ("test_files.py", True),
        ("test_anything.py", False),
    ],
)
def test_a_test_module_in_another_place_is_seen(place, right):
    assert has_its_place(TESTS / place) == right


def test_helpers_are_in_one_folder():
    """Elsewhere are tests, conftest.py for pytest, the stand-in for CuPy, and programs to run by hand."""
    for path in sorted(set(TESTS.rglob("*.py")) - set(TEST_MODULES)):
        place = path.relative_to(TESTS)
        if place.parts[0] != "support" and place.name != "conftest.py" and "standin" not in place.parts:
            assert '__name__ == "__main__"' in path.read_text(encoding="utf-8"), place


def test_no_test_module_is_imported():
    """Also by no program in a string, which a process runs."""
    for path in TESTS.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not re.findall(r"^\s*(?:from|import) (?:\w+\.)*test_\w+", text, re.MULTILINE), path


def loaded_by(code: str) -> set[str]:
    """The top-level modules loaded once `code` has run in a fresh interpreter."""
    script = f"import sys\n{code}\nprint('LOADED', *{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rsplit("LOADED", 1)[1].split())


def test_importing_nnx_loads_numpy_and_nothing_heavier():
    loaded = loaded_by("import nnx")
    assert "numpy" in loaded
    assert not loaded & HEAVY


def test_training_with_numpy_loads_nothing_heavier_either():
    loaded = loaded_by(
        "import nnx, numpy as np\n"
        "n = nnx.Network([nnx.Dense(2, 3, activation='tanh'), nnx.Dense(1), nnx.Sigmoid()], device='numpy')\n"
        "x = np.ones((8, 2))\n"
        "n.fit(x, x[:, 0], loss=nnx.BinaryCrossEntropy(), optimizer=nnx.Adam(), batch_size=4)\n"
        "n.predict(x)"
    )
    assert not loaded & HEAVY


def test_help_loads_click_and_nothing_heavier():
    loaded = loaded_by(
        "from nnx.cli import main\n"
        "sys.argv = ['nnx', '--help']\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert not end.code, end.code"
    )
    assert "click" in loaded
    assert not loaded & (HEAVY - {"click"})
