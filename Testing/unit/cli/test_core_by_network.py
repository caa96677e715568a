# SPDX-License-Identifier: Apache-2.0
"""A network draws the core from the command line; a network that cannot be used is told before any work is done."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from PerfusionSuiteLib import results
from PerfusionSuiteLib.cli.main import main

torch = pytest.importorskip("torch")

from PerfusionSuiteLib.lesion.core_unet import CoreNetwork  # noqa: E402
from PerfusionSuiteLib.lesion.core_weights import CoreWeights, save_weights  # noqa: E402

pytestmark = pytest.mark.torch

AFFINE = np.diag([-4.0, -4.0, 5.0, 1.0])


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures take most of the time."""
    monkeypatch.setattr("PerfusionSuiteLib.results.writer.write_pictures", lambda *_: {})


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    """A brain that is late and badly perfused on the patient's right (small i)."""
    i, j, _ = np.indices((32, 32, 4))
    brain = (i - 15.5) ** 2 + (j - 15.5) ** 2 < 14.5**2
    late = brain & (i < 11)
    values = {
        "tmax": np.where(late, 9.0, 2.0),
        "cbf": np.where(i < 7, 9.0, np.where(late, 28.0, 50.0)),
        "cbv": np.where(late, 2.5, 4.0),
    }
    for key, value in values.items():
        results.write_volume(tmp_path / "maps" / f"{key}.nii.gz", np.where(brain, value, np.nan).astype(np.float32), AFFINE)
    return tmp_path / "maps"


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """A network that answers 'background' and 'core' with 0.4 and 0.6 everywhere: its last layer sees nothing."""
    state = {name: np.zeros_like(value.numpy()) for name, value in CoreNetwork(1).state_dict().items()}
    state["last.bias"] = np.log(np.array([0.4, 0.6], np.float32))
    weights = CoreWeights(state, ("rcbf",), 4.0, (32, 32, 4), provenance={"learned_from": "nothing"})
    return save_weights(tmp_path / "jane doe, 7.safetensors", weights)


def numbers(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text())


@pytest.mark.parametrize(("level", "drawn"), [(0.55, True), (0.65, False)])
def test_the_network_of_a_file_draws_the_core_within_hypoperfusion(
    maps: Path, network: Path, tmp_path: Path, level: float, drawn: bool
) -> None:
    out = tmp_path / "out"
    given = ["--threshold", f"core_network={network}", "--threshold", f"core_probability={level}"]
    assert main(["segment", str(maps), str(out), "--preset", "core-network", *given]) == 0
    found = numbers(out)
    assert found["hypoperfusion_volume_ml"] > 10
    assert found["infarct_core_volume_ml"] == (found["hypoperfusion_volume_ml"] if drawn else 0.0)
    probability, _ = results.read_volume(out / "core_probability.nii.gz")
    assert np.nanmax(probability) == pytest.approx(0.6, abs=1e-3)
    affected = probability[:14][np.isfinite(probability[:14])]
    healthy = probability[18:][np.isfinite(probability[18:])]
    assert affected.min() == pytest.approx(0.6, abs=1e-3)
    assert healthy.max() == 0.0
    assert found["thresholds"]["core_network"] == network.name
    assert "core_by_network" in found["quality"]["flags"]


def test_no_result_says_where_the_file_lies(maps: Path, network: Path, tmp_path: Path) -> None:
    config = tmp_path / "thresholds.json"
    config.write_text(json.dumps({"core_network": str(network)}))
    out = tmp_path / "out"
    assert main(["segment", str(maps), str(out), "--preset", "core-network", "--thresholds", str(config)]) == 0
    texts = [path for path in out.rglob("*") if path.suffix in (".json", ".csv", ".txt", ".html")]
    assert len(texts) >= 4
    assert not [path.name for path in texts if str(tmp_path) in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("nothing.safetensors", None, "There is no file"),
        ("broken.safetensors", b"no tensors", "'broken.safetensors' is damaged or no safetensors file"),
        ("neural", "neural", "'neural.safetensors' is not a network of the infarct core"),
    ],
)
def test_a_network_that_cannot_be_used_is_told_before_anything_is_read(
    name: str, content: bytes | str | None, said: str, maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = name if isinstance(content, str) else str(tmp_path / name)
    if isinstance(content, bytes):
        Path(file).write_bytes(content)
    given = ["--preset", "core-network", "--threshold", f"core_network={file}"]
    for command in (["segment", str(maps)], ["run", str(tmp_path / "no scan here")]):
        assert main([*command, str(tmp_path / "out"), *given]) == 2
        told = capsys.readouterr().err.strip().splitlines()[-1]
        assert said in told
        assert not (tmp_path / "out").exists()


def test_a_cohort_does_not_begin_with_a_network_that_no_scan_could_use(
    maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--preset", "core-network", "--threshold", f"core_network={tmp_path / 'nothing.safetensors'}"]
    assert main(["cohort", str(maps.parent), str(tmp_path / "out"), "participant", "--run", *given]) == 2
    assert "There is no file" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("package", ["torch", "safetensors"])
def test_a_missing_package_is_told_in_a_sentence(
    package: str, maps: Path, network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *more: None if name == package else find(name, *more))
    given = ["--preset", "core-network", "--threshold", f"core_network={network}"]
    assert main(["segment", str(maps), str(tmp_path / "out"), *given]) == 2
    assert f"The Python package '{package}' is needed to" in capsys.readouterr().err
