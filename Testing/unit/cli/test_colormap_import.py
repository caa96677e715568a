# SPDX-License-Identifier: Apache-2.0
"""``colormap-import``: DICOM color maps become maps that ``segment`` takes (ct-perfusion-auto 5, check 2 of section 19)."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
from pydicom.encaps import encapsulate
from pydicom.uid import CTImageStorage, JPEGBaseline8Bit, MultiFrameTrueColorSecondaryCaptureImageStorage, RLELossless
from scipy.spatial.transform import Rotation

from PerfusionSuiteLib import phantom, results
from PerfusionSuiteLib.cli.main import main
from PerfusionSuiteLib.phantom.color_maps import DisplayStyle, healthy_maps, write_color_maps
from PerfusionSuiteLib.series.color_maps import quantity_of

SMALL = ((100, 110, 12), (1.9, 1.9, 8.0))
NO_BAR = DisplayStyle(marks=("text", "cube"))


@pytest.fixture(scope="module")
def healthy(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("healthy")
    maps, affine = healthy_maps(*SMALL)
    write_color_maps(maps, affine, folder, quantities=("tmax", "cbf", "cbv"))
    return folder


def imported(folder: Path, out: Path, *options: str) -> int:
    return main(["colormap-import", str(folder), str(out), *options])


def patient_mask(shape, affine, test) -> np.ndarray:
    place = np.tensordot(affine[:3, :3], np.indices(shape), 1) + affine[:3, 3][:, None, None, None]
    return test(*place)


@pytest.mark.parametrize("bar", [True, False])
def test_a_healthy_brain_has_no_lesion_with_or_without_a_bar(healthy, tmp_path, monkeypatch, bar: bool) -> None:
    monkeypatch.setattr(results, "write", partial(results.write, pictures=False))
    folder, options = healthy, ["--preset", "syngo"]
    if not bar:
        assert imported(healthy, tmp_path / "first", "--preset", "syngo") == 0
        maps, affine = healthy_maps(*SMALL)
        folder = tmp_path / "cropped"
        write_color_maps(maps, affine, folder, quantities=("tmax", "cbf", "cbv"), style=NO_BAR)
        options += [word for key in ("tmax", "cbf", "cbv") for word in ("--lut", f"{key}={tmp_path}/first/{key}_colors.csv")]
    assert imported(folder, tmp_path / "maps", *options) == 0
    tmax, affine = results.read_volume(tmp_path / "maps" / "tmax.nii.gz")
    truth, true_affine = healthy_maps(*SMALL)
    assert np.nanmax(np.abs(tmax - 2.0)) < 6.0 / 253.0
    volume = np.isfinite(tmax).sum() * abs(np.linalg.det(affine[:3, :3]))
    assert volume == pytest.approx(np.isfinite(truth["tmax"]).sum() * abs(np.linalg.det(true_affine[:3, :3])), rel=1e-6)
    assert main(["segment", str(tmp_path / "maps"), str(tmp_path / "lesions")]) == 0
    metrics = json.loads((tmp_path / "lesions" / "metrics.json").read_text())
    assert metrics["hypoperfusion_volume_ml"] == 0.0
    assert metrics["infarct_core_volume_ml"] == 0.0
    assert "display_image" in metrics["quality"]["flags"], "the origin of the maps goes with every result"


def test_a_set_without_a_bar_is_refused_unless_a_table_is_given(tmp_path, capsys) -> None:
    maps, affine = healthy_maps((100, 110, 3), (1.9, 1.9, 8.0))
    write_color_maps(maps, affine, tmp_path / "in", quantities=("tmax",), style=NO_BAR)
    assert imported(tmp_path / "in", tmp_path / "out", "--preset", "syngo") == 2
    assert "have no color bar" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_ends_of_the_bar_must_be_said(healthy, tmp_path, capsys) -> None:
    assert imported(healthy, tmp_path / "out") == 2
    assert "Say what the color bar of Tmax reads at its ends" in capsys.readouterr().err
    labels = ["--range", "tmax=0:20", "--range", "cbf=0:80", "--range", "cbv=0:8"]
    assert imported(healthy, tmp_path / "out", *labels) == 0
    tmax, _ = results.read_volume(tmp_path / "out" / "tmax.nii.gz")
    assert np.nanmedian(tmax) == pytest.approx(2.0 / 12.0 * 20.0, abs=0.05)
    facts = json.loads((tmp_path / "out" / "tmax.json").read_text())
    assert (facts["DerivedFrom"], facts["BarLevels"], facts["BarEnds"]) == ("display image", 254, [0.0, 20.0])
    assert not [
        f for f in json.loads((tmp_path / "out" / "colormap_import.json").read_text())["findings"] if "preset" in f["code"]
    ]


@pytest.mark.parametrize(
    "matrix",
    [np.diag([-1.0, -1.0, 1.0]), np.diag([-1.0, -1.0, -1.0]),
     Rotation.from_euler("xyz", (12, -8, 15), degrees=True).as_matrix() @ np.diag([-1.0, -1.0, 1.0]),
     np.array([[-1.0, 0, 0], [0, -1.0, 0.35], [0, 0, 1.0]])],
    ids=["upwards", "feet first", "oblique", "tilted"],
)  # fmt: skip
def test_values_keep_their_place_in_the_patient(tmp_path, matrix: np.ndarray) -> None:
    shape = (60, 70, 7)
    affine = np.eye(4)
    affine[:3, :3] = matrix @ np.diag([3.0, 3.0, 8.0])
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2) + (3.0, -5.0, 11.0)
    inside = patient_mask(shape, affine, lambda r, a, s: (r / 70) ** 2 + (a / 80) ** 2 + (s / 60) ** 2 < 1)
    lesion = patient_mask(shape, affine, lambda r, a, s: (r > 15) & (a > 5) & (s > 0))
    tmax = np.where(inside, np.where(lesion, 9.0, 3.0), np.nan)
    write_color_maps({"tmax": tmax}, affine, tmp_path / "in", style=DisplayStyle(zoom=4))
    assert imported(tmp_path / "in", tmp_path / "out", "--preset", "syngo") == 0
    values, place = results.read_volume(tmp_path / "out" / "tmax.nii.gz")
    step = 12.0 / 253.0
    for sign, level in ((1, 9.0), (-1, 3.0)):
        where = np.argwhere(np.abs(values - level) < step) @ place[:3, :3].T + place[:3, 3]
        truth = np.argwhere(tmax == level) @ affine[:3, :3].T + affine[:3, 3]
        assert len(where) == 16 * len(truth), sign
        np.testing.assert_allclose(where.mean(axis=0), truth.mean(axis=0), atol=0.05)


def rewritten(files, change) -> None:
    for path in files:
        image = pydicom.dcmread(path)
        change(image)
        image.save_as(path, enforce_file_format=True)


def planar(image) -> None:
    pixels = np.frombuffer(image.PixelData, np.uint8)[: image.Rows * image.Columns * 3].reshape(image.Rows, image.Columns, 3)
    image.PlanarConfiguration = 1
    image.PixelData = pixels.transpose(2, 0, 1).tobytes()


def run_length(image) -> None:
    image.compress(RLELossless, generate_instance_uid=False)


def palette(image) -> None:
    pixels = np.frombuffer(image.PixelData, np.uint8).reshape(image.Rows, image.Columns, 3)
    colors, index = np.unique(pixels.reshape(-1, 3), axis=0, return_inverse=True)
    del image.PlanarConfiguration
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "PALETTE COLOR"
    image.BitsAllocated = image.BitsStored = 16
    image.HighBit = 15
    for n, name in enumerate(("Red", "Green", "Blue")):
        image.add_new(f"{name}PaletteColorLookupTableDescriptor", "US", [len(colors), 0, 16])
        setattr(image, f"{name}PaletteColorLookupTableData", (colors[:, n].astype("<u2") * 257).tobytes())
    image.PixelData = index.astype("<u2").tobytes()
    image["PixelData"].VR = "OW"


@pytest.mark.parametrize("change", [planar, run_length, palette])
def test_colors_are_exact_however_they_are_stored(tmp_path, change) -> None:
    maps, affine = healthy_maps((64, 70, 3), (3.0, 3.0, 20.0))
    ramp = np.where(np.isfinite(maps["tmax"]), np.linspace(0.1, 11.9, 64)[:, None, None], np.nan)
    files = write_color_maps({"tmax": ramp}, affine, tmp_path / "in", style=DisplayStyle(marks=("bar",), zoom=1))
    assert imported(tmp_path / "in", tmp_path / "first", "--preset", "syngo") == 0
    rewritten(files, change)
    assert imported(tmp_path / "in", tmp_path / "out", "--preset", "syngo") == 0
    first, _ = results.read_volume(tmp_path / "first" / "tmax.nii.gz")
    values, _ = results.read_volume(tmp_path / "out" / "tmax.nii.gz")
    np.testing.assert_array_equal(values, first)
    shown = np.nanmax(np.abs(values[:64, :70] - ramp))
    assert shown <= 6.0 / 253.0 + 1e-6


def test_a_multi_frame_file_is_read_frame_by_frame(tmp_path) -> None:
    maps, affine = healthy_maps((64, 70, 4), (3.0, 3.0, 20.0))
    ramp = np.where(np.isfinite(maps["tmax"]), np.linspace(0.1, 11.9, 64)[:, None, None], np.nan)
    files = write_color_maps({"tmax": ramp}, affine, tmp_path / "in", style=DisplayStyle(marks=("bar",), zoom=1))
    assert imported(tmp_path / "in", tmp_path / "first", "--preset", "syngo") == 0
    slices = [pydicom.dcmread(path) for path in files]
    whole = pydicom.dcmread(files[0])
    groups = []
    for image in slices[::-1]:  # stored downwards
        position = pydicom.Dataset()
        position.ImagePositionPatient = image.ImagePositionPatient
        group = pydicom.Dataset()
        group.PlanePositionSequence = [position]
        groups.append(group)
    whole.PerFrameFunctionalGroupsSequence, whole.NumberOfFrames = groups, len(groups)
    del whole.ImagePositionPatient
    whole.SOPClassUID = whole.file_meta.MediaStorageSOPClassUID = MultiFrameTrueColorSecondaryCaptureImageStorage
    size = whole.Rows * whole.Columns * 3
    whole.PixelData = b"".join(image.PixelData[:size] for image in slices[::-1])
    for path in files:
        path.unlink()
    whole.save_as(tmp_path / "in" / "all.dcm", enforce_file_format=True)
    assert imported(tmp_path / "in", tmp_path / "out", "--preset", "syngo") == 0
    (first, place), (values, again) = (results.read_volume(tmp_path / name / "tmax.nii.gz") for name in ("first", "out"))
    np.testing.assert_array_equal(values, first)
    np.testing.assert_allclose(again, place)


def test_pictures_compressed_with_losses_are_read_with_a_wider_limit(tmp_path) -> None:
    def jpeg(image) -> None:
        pixels = np.frombuffer(image.PixelData, np.uint8)[: image.Rows * image.Columns * 3].reshape(image.Rows, image.Columns, 3)
        path = tmp_path / "one.jpg"
        sitk.WriteImage(sitk.GetImageFromArray(pixels, isVector=True), str(path), useCompression=True, compressionLevel=97)
        image.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
        image.PhotometricInterpretation, image.LossyImageCompression = "YBR_FULL_422", "01"
        image.PixelData = encapsulate([path.read_bytes()])

    maps, affine = healthy_maps((100, 110, 4), (1.9, 1.9, 25.0))
    files = write_color_maps(maps, affine, tmp_path / "in", quantities=("tmax",), style=DisplayStyle(marks=("bar",)))
    rewritten(files, jpeg)
    assert imported(tmp_path / "in", tmp_path / "out", "--preset", "syngo") == 0
    values, _ = results.read_volume(tmp_path / "out" / "tmax.nii.gz")
    inside = np.isfinite(values)
    assert np.median(values[inside]) == pytest.approx(2.0, abs=0.15)
    assert json.loads((tmp_path / "out" / "tmax.json").read_text())["ColorDistanceLimit"] == 32.0


def as_gray(files, number: int = 77) -> None:
    """Turn color files into a gray series with stated numbers: Tmax in tenths of a second."""
    uid = pydicom.uid.generate_uid()

    def change(image) -> None:
        tenths = np.full((image.Rows, image.Columns), 31, "<u2")
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        del image.PlanarConfiguration
        image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
        image.RescaleSlope, image.RescaleIntercept = "0.1", "0"
        image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = CTImageStorage
        image.SeriesInstanceUID, image.SeriesNumber, image.SeriesDescription = uid, number, "Tmax quantitative"
        image.PixelData = tenths.tobytes()
        image["PixelData"].VR = "OW"

    rewritten(files, change)


def test_a_series_of_numbers_is_preferred_to_pictures(healthy, tmp_path, capsys) -> None:
    folder = tmp_path / "both"
    maps, affine = healthy_maps(*SMALL)
    write_color_maps(maps, affine, folder, quantities=("tmax",), style=DisplayStyle(zoom=3))
    files = [path.rename(path.with_name(f"GRAY{path.name}")) for path in sorted(folder.iterdir())]
    as_gray(files)
    write_color_maps(maps, affine, folder, quantities=("tmax", "cbf"), style=DisplayStyle(zoom=3))
    assert imported(folder, tmp_path / "out", "--preset", "syngo") == 0
    tmax, _ = results.read_volume(tmp_path / "out" / "tmax.nii.gz")
    np.testing.assert_allclose(tmax, 3.1, rtol=1e-6)
    assert json.loads((tmp_path / "out" / "tmax.json").read_text())["DerivedFrom"] == "gray DICOM series"
    assert "preferred" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "key"),
    [("TMAXD", "tmax"), ("VPCT Brain TMAXD 5.0 Hr36", "tmax"), ("Perfusion T-Max", "tmax"), ("CBFD", "cbf"), ("rCBV map", "cbv"),
     ("MTTD MIP", "mtt"), ("TTPM", "ttp"), ("PENUMBRA", None), ("CBF CBV summary", None), ("Head 5.0", None)],
)  # fmt: skip
def test_descriptions_name_quantities(words: str, key: str | None) -> None:
    assert quantity_of(words) == key


@pytest.mark.parametrize(
    ("options", "sentence"),
    [(["--range", "tmax=12"], "is no range"), (["--range", "tmin=0:3"], "cannot be used for --range"),
     (["--series", "tmax=first"], "is no number"), (["--series", "tmax=99", "--preset", "syngo"], "There is no series 99"),
     (["--distance", "999"], "must lie between 0 and 100")],
)  # fmt: skip
def test_wrong_words_are_refused(healthy, tmp_path, capsys, options, sentence) -> None:
    assert imported(healthy, tmp_path / "out", *options) == 2
    assert sentence in capsys.readouterr().err


def test_folders_without_maps_are_refused(tmp_path, capsys) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "a.txt").write_text("nothing")
    assert imported(tmp_path / "empty", tmp_path / "out") == 2
    assert "no DICOM files" in capsys.readouterr().err
    maps, affine = healthy_maps((64, 70, 3), (3.0, 3.0, 20.0))
    files = write_color_maps(maps, affine, tmp_path / "other", quantities=("tmax",))
    rewritten(files, lambda image: setattr(image, "SeriesDescription", "PENUMBRA"))
    assert imported(tmp_path / "other", tmp_path / "out") == 2
    assert "is a map" in capsys.readouterr().err
    rewritten(files, lambda image: (setattr(image, "SeriesDescription", "TMAXD"), delattr(image, "ImagePositionPatient")))
    assert imported(tmp_path / "other", tmp_path / "out", "--preset", "syngo") == 2
    assert "None of the" in capsys.readouterr().err


def test_the_phantom_writes_such_pictures(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(phantom, "healthy_maps", lambda: healthy_maps((64, 70, 3), (3.0, 3.0, 20.0)))
    out = tmp_path / "phantom"
    assert main(["phantom", "colormaps", str(out), "--seed", "3", "--healthy"]) == 0
    assert len(list((out / "dicom").iterdir())) == 12
    assert imported(out / "dicom", tmp_path / "maps", "--preset", "syngo") == 0
    assert main(["phantom", "colormaps", str(out), "--seed", "3", "--noise", "4"]) == 2
    assert "no option --noise" in capsys.readouterr().err
    assert main(["phantom", "ctp", str(out), "--seed", "3", "--no-bar"]) == 2
    assert "no option --no-bar" in capsys.readouterr().err
