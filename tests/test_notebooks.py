"""The notebooks of the documentation: without stored outputs, and they run as they are.

Each is executed in a kernel of another process, with a last cell that prints what the test checks.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent.parent / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
#: Executes a notebook and writes it next to its working folder.
EXECUTE = """
import sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], 4)
nbclient.NotebookClient(
    notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": sys.argv[2]}}
).execute()
nbformat.write(notebook, sys.argv[1])
"""
#: Expressions of the figures of each notebook that are checked.
FIGURES = {
    "refine_stereo": {
        "mae": "judged.ratios()['mae']",
        "inside": "judged.uncertainty.inside['90%']",
        "sure": "float(np.abs(error[sure]).mean() / np.abs(error[~sure]).mean())",
    },
    "image_and_coarse_dem": {
        "mae": "judged.ratios()['mae']",
        "slope": "judged.ratios()['slope_mae']",
    },
    "lidar_corner": {
        "shipped": "judged['shipped']",
        "local": "judged['local']",
    },
}


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return content


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_outputs_are_stored(path: Path) -> None:
    notebook = read(path)
    assert notebook["cells"][0]["source"][0].startswith("# ")
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None


def executed(name: str, folder: Path) -> tuple[dict[str, float], dict[str, Any]]:
    """Execute a notebook; return the checked figures and the notebook with its outputs."""
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = read(FOLDER / f"{name}.ipynb")
    pairs = ", ".join(f"{key!r}: float({text})" for key, text in FIGURES[name].items())
    check = {
        "cell_type": "code",
        "id": "check",
        "metadata": {},
        "source": f"import json\nprint(json.dumps({{{pairs}}}))",
        "execution_count": None,
        "outputs": [],
    }
    notebook["cells"].append(check)
    path = folder / f"{name}.ipynb"
    path.write_text(json.dumps(notebook), "utf-8")
    work = folder / "work"
    work.mkdir()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "IPYTHONDIR": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", EXECUTE, str(path), str(work)],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result = read(path)
    figures: dict[str, float] = json.loads("".join(result["cells"][-1]["outputs"][0]["text"]))
    return figures, result


def pictures(notebook: dict[str, Any]) -> tuple[int, int]:
    """Return the numbers of PNG and HTML outputs."""
    outputs = [o for c in notebook["cells"] for o in c.get("outputs", ())]
    kinds = [kind for output in outputs for kind in output.get("data", ())]
    return kinds.count("image/png"), kinds.count("text/html")


def test_refine_a_stereo_dsm_and_judge_it(tmp_path: Path) -> None:
    figures, notebook = executed("refine_stereo", tmp_path)
    assert figures["mae"] < 0.85
    assert 0.85 < figures["inside"] < 0.99
    assert figures["sure"] < 0.3
    assert pictures(notebook) == (3, 2)


@pytest.mark.slow
def test_one_image_and_a_coarse_dem(tmp_path: Path) -> None:
    figures, notebook = executed("image_and_coarse_dem", tmp_path)
    assert figures["mae"] < 0.6
    assert figures["slope"] < 0.8
    assert pictures(notebook) == (3, 1)


@pytest.mark.slow
def test_train_on_a_corner_with_lidar_and_apply_next_door(tmp_path: Path) -> None:
    for module in ("torch", "cv2", "numba"):
        pytest.importorskip(module)
    figures, notebook = executed("lidar_corner", tmp_path)
    assert figures["shipped"] < 0.9
    assert figures["local"] < 0.95
    assert figures["local"] != figures["shipped"]
    assert pictures(notebook) == (0, 3)


def test_all_notebooks_are_tested() -> None:
    assert {path.stem for path in NOTEBOOKS} == {*FIGURES}
