# SPDX-License-Identifier: Apache-2.0
"""A network draws the core from the command line; a network that cannot be used is told before any work is done."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from PerfusionSuiteLib import finished_maps, phantom, pipeline, results
from PerfusionSuiteLib.cli.main import main
from PerfusionSuiteLib.core import InvalidInputError
from PerfusionSuiteLib.preparation import check_inputs

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


def test_a_cohort_reads_the_network_of_a_settings_file_before_its_first_scan(
    maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "settings.json"
    config.write_text(json.dumps({"preset": "core-network", "thresholds": {"core_network": str(tmp_path / "no.safetensors")}}))
    words = ["cohort", str(maps.parent), str(tmp_path / "out"), "participant"]
    assert main([*words, "--run", "--config", str(config)]) == 2
    assert "There is no file" in capsys.readouterr().err
    config.write_text(json.dumps({"preset": "core-network"}))
    assert main([*words, "--modality", "dsc", "--run", "--config", str(config)]) == 2
    assert "has learned from CT perfusion, but these maps are of DSC-MRI" in capsys.readouterr().err
    without(monkeypatch, "torch")
    assert main([*words, "--run", "--config", str(config)]) == 2
    assert "The Python package 'torch' is needed to" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def without(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """Let a package be missing."""
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *more: None if name == package else find(name, *more))


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where networks ran."""
    seen: list[str] = []
    probability = CoreWeights.probability

    def watched(self: CoreWeights, image: np.ndarray, affine: np.ndarray, device: str = "auto") -> np.ndarray:
        seen.append(device)
        return probability(self, image, affine, "cpu")

    monkeypatch.setattr(CoreWeights, "probability", watched)
    return seen


def test_the_network_runs_on_the_device_that_was_asked_for(
    maps: Path, network: Path, tmp_path: Path, devices: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["segment", str(maps), str(tmp_path / "out"), "--preset", "core-network", "--threshold", f"core_network={network}"]
    assert main([*given, "--device", "cuda:1"]) == 0
    assert main(given) == 0
    assert devices == ["cuda:1", "auto"]
    assert main([*given, "--device", "gpu"]) == 2
    assert "There is no device 'gpu'" in capsys.readouterr().err


def test_a_gpu_may_be_named_for_a_network_beside_a_method_of_the_cpu() -> None:
    assert pipeline.Settings(method="osvd", preset="core-network", device="cuda").device == "cuda"
    with pytest.raises(InvalidInputError, match="computes on the CPU only"):
        pipeline.Settings(method="osvd", device="cuda")


def measured(maps: Path, network: Path | str, **more: object) -> results.MapStudy:
    """Analyze the maps of a folder."""
    found = results.read_finished_maps(maps)
    return finished_maps.analyze_maps(found.maps, preset="core-network", thresholds={"core_network": str(network)}, **more)


def test_a_network_of_ct_refuses_maps_of_mr(maps: Path) -> None:
    with pytest.raises(InvalidInputError, match="has learned from CT perfusion, but these maps are of DSC-MRI"):
        measured(maps, "core", modality="dsc")
    scan, _ = phantom.dsc(seed=1, shape=(24, 24, 2), spacing_mm=(8.0, 8.0, 20.0), frames=20)
    with pytest.raises(InvalidInputError, match="Choose another preset, or a network trained on such maps"):
        check_inputs(scan, pipeline.Settings(preset="core-network"), pipeline.UserInputs())


def test_a_network_of_mr_draws_in_maps_of_mr(maps: Path, network: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    from PerfusionSuiteLib.lesion.core_weights import load_weights

    of_mr = save_weights(tmp_path / "mr.safetensors", replace(load_weights(network), modality="dsc"))
    study = measured(maps, of_mr, modality="dsc")
    assert study.lesions.core.any()
    assert "core_network_modality" not in {finding.code for finding in study.findings}


@pytest.mark.parametrize("modality", ["", "ctp"])
def test_maps_or_networks_of_unknown_kind_are_the_users_to_answer_for(maps: Path, network: Path, modality: str) -> None:
    study = measured(maps, network, modality=modality)
    told = next(finding for finding in study.findings if finding.code == "core_network_modality")
    assert "does not say whether it has learned from CT perfusion or DSC-MRI" in told.message
    if not modality:
        told = next(f for f in measured(maps, "core").findings if f.code == "core_network_modality")
        assert "Nobody says what kind of scan these maps come from" in told.message


def test_measuring_a_core_that_the_user_drew_runs_no_network(maps: Path, devices: list[str], tmp_path: Path) -> None:
    drawn = np.zeros((32, 32, 4), bool)
    drawn[5:9, 14:18, 1] = True
    study = measured(maps, tmp_path / "gone.safetensors", core=drawn, modality="ctp")
    assert devices == []
    np.testing.assert_array_equal(study.lesions.core, drawn)
    assert study.metrics.values["infarct_core_volume_ml"] == pytest.approx(drawn.sum() * 0.08)
    assert study.lesions.thresholds["edited_by_hand"] == ["core"]
    assert not {"core_by_network", "core_network_modality"} & {finding.code for finding in study.findings}
    assert "core_probability" not in study.made


@pytest.mark.parametrize("package", ["torch", "safetensors"])
def test_a_missing_package_is_told_in_a_sentence(
    package: str, maps: Path, network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, package)
    given = ["--preset", "core-network", "--threshold", f"core_network={network}"]
    assert main(["segment", str(maps), str(tmp_path / "out"), *given]) == 2
    assert f"The Python package '{package}' is needed to" in capsys.readouterr().err
