# SPDX-License-Identifier: Apache-2.0
"""Small seeded inputs that many tests share. They are shapes with the right units, not models of a brain."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from PerfusionSuiteLib.core import (
    Acquisition,
    AslSeries,
    Concentration,
    InputFunction,
    LesionMasks,
    Metrics,
    MotionReport,
    PerfusionMaps,
    PerfusionSeries,
    Provenance,
    QualityFinding,
    RegionFit,
    Source,
    Study,
    TissueMasks,
)

SHAPE = (48, 56, 6)
AFFINE = np.array(
    [[-4.0, 0, 0, 96.0], [0, -4.0, 0, 110.0], [0, 0, 8.0, -20.0], [0, 0, 0, 1]]
)  # LPS-like: i to the left, j to posterior


def bolus(times_s: np.ndarray, start_s: float, height: float, width_s: float = 2.0) -> np.ndarray:
    """Return a gamma variate that peaks `3 * width_s` after its start."""
    x = np.maximum(times_s - start_s, 0.0) / (3.0 * width_s)
    return height * x**3 * np.exp(3.0 * (1.0 - x))


def head_masks() -> tuple[np.ndarray, np.ndarray]:
    """Return (brain, skull) of an ellipsoid head in `SHAPE`."""
    i, j, _ = np.indices(SHAPE)
    r = np.hypot((i - 23.5) / 18.0, (j - 27.5) / 22.0)
    return r < 1.0, (r >= 1.05) & (r < 1.2)


@pytest.fixture
def a_ctp_series() -> PerfusionSeries:
    """A still CT-perfusion-like series: brain 35 HU, skull 900 HU, a bolus everywhere in the brain, noise 2 HU."""
    times = np.arange(30) * 1.5
    brain, skull = head_masks()
    data = np.full((*SHAPE, times.size), -1000.0, np.float32)
    data[brain] = 35.0 + bolus(times, 9.0, 8.0)
    data[skull] = 900.0
    data += np.random.default_rng(1).normal(0.0, 2.0, data.shape).astype(np.float32)
    return PerfusionSeries(data, AFFINE, times, "ctp", Acquisition("made up"), Source("phantom", "case-01"))


@pytest.fixture
def a_study(a_ctp_series: PerfusionSeries) -> Study:
    """A complete study of consistent shapes: a lesion on the patient's left, values in realistic ranges."""
    times = a_ctp_series.times_s
    brain, skull = head_masks()
    none = np.zeros(SHAPE, bool)
    i, j, _ = np.indices(SHAPE)
    lesion = brain & (np.hypot(i - 34, j - 27) < 9)  # i grows to the patient's left
    core = brain & (np.hypot(i - 35, j - 27) < 5)
    csf = brain & (np.hypot((i - 23.5) / 3, (j - 27.5) / 8) < 1)
    tissue = brain & ~csf
    values: dict[str, Any] = {
        "cbf": np.where(core, 9.0, np.where(lesion, 24.0, 52.0)),
        "cbv": np.where(core, 1.2, np.where(lesion, 4.0, 3.6)),
        "mtt": np.where(core, 8.0, np.where(lesion, 10.0, 4.2)),
        "tmax": np.where(core, 11.0, np.where(lesion, 8.0, 2.2)),
        "delay": np.where(core, 7.0, np.where(lesion, 5.0, 0.8)),
        "ttp": np.where(lesion, 24.0, 16.0),
        "rcbf": np.where(core, 17.0, np.where(lesion, 46.0, 100.0)),
        "mip": np.where(brain, 48.0, 0.0),
        "baseline": np.where(brain, 35.0, np.where(skull, 900.0, -1000.0)),
    }
    arrays = {key: np.where(brain, v, np.nan) if key != "baseline" else v for key, v in values.items()}
    concentration = Concentration(
        np.where(brain[..., None], a_ctp_series.data - 35.0, 0.0).astype(np.float32),
        AFFINE, times, brain, arrays["baseline"].astype(np.float32), "HU", 2.0, 6,
    )  # fmt: skip
    aif = InputFunction(
        times, bolus(times, 7.0, 180.0), np.array([[23, 12, 2], [24, 12, 2]]), "aif", 3.1, ("aif_scaled",), 2.4, "automatic",
        {"peak": 180.0, "ttp_s": 13.0, "bat_s": 8.0, "fwhm_s": 6.5, "cnr": 60.0, "tail": 0.02},
    )  # fmt: skip
    vof = InputFunction(
        times, bolus(times, 13.0, 210.0), np.array([[23, 48, 4]]), "vof", 2.0, quality={"peak": 210.0, "ttp_s": 19.0}
    )
    maps = PerfusionMaps.from_arrays(arrays, AFFINE, provenance=Provenance("osvd", {"oi_max": 0.1}, "test"))
    lesions = LesionMasks(
        lesion, core, lesion & ~core, tissue, tissue & (i < 22), AFFINE, "left", thresholds={"tmax_s": 6.0, "rcbf_percent": 30.0}
    )
    ml = 0.128
    numbers = {
        "schema": "perfusion-suite/metrics/1",
        "case_id": "case-01",
        "hypoperfusion_volume_ml": float(lesion.sum() * ml),
        "infarct_core_volume_ml": float(core.sum() * ml),
        "penumbra_volume_ml": float((lesion & ~core).sum() * ml),
        "mismatch_ratio": float(lesion.sum() / core.sum()),
        "hir": float(core.sum() / lesion.sum()),
        "volumes_ml": {"tmax_gt_4": 60.0, "tmax_gt_6": 50.0, "tmax_gt_8": 20.0, "tmax_gt_10": 15.0},
        "prr_percent": None,
    }
    motion = MotionReport(np.linspace(0, 1, times.size)[:, None] * [0.4, 0.1, 1.2], np.zeros((times.size, 3)), True)
    finding = QualityFinding("aif_scaled", "info", "The AIF was scaled by 2.4 to the venous area.", "Check both curves.")
    return Study(
        a_ctp_series, TissueMasks(brain, csf, none, skull), concentration, aif, vof, maps, lesions, Metrics(numbers), motion,
        {"method": "osvd"}, (finding,), {"deconvolution": 1.5},
    )  # fmt: skip


def a_region_fit(times: np.ndarray, brain: np.ndarray, csf: np.ndarray) -> RegionFit:
    """Return four regions with made-up curves: two of gray matter, one of white matter, one of fluid without a fit."""
    i, j, _ = np.indices(SHAPE)
    radius = np.hypot((i - 23.5) / 18.0, (j - 27.5) / 22.0)
    labels = np.where(radius > 0.75, 1, np.where(i > 30, 2, 3)) * brain
    labels[csf] = 4
    observed = np.stack([bolus(times, start, height) for start, height in ((9.0, 12.0), (12.5, 8.0), (10.0, 5.0), (11.0, 1.0))])
    fitted = 0.97 * observed
    fitted[3] = np.nan
    rows = tuple(
        {
            "roi_id": number + 1,
            "tissue": tissue,
            "n_vox_all": int((labels == number + 1).sum()),
            "cbf": 50.0 - 10 * number if number < 3 else float("nan"),
            "mtt": 4.0 + number if number < 3 else float("nan"),
            "nmse": 0.03 if number < 3 else float("nan"),
            "status": "ok" if number < 3 else "no tracer",
        }
        for number, tissue in enumerate(("GM", "GM", "WM", "CSF"))
    )
    reference = observed.mean(axis=0)
    return RegionFit(
        labels.astype(np.int32), AFFINE, rows, times, observed.astype(np.float32), fitted.astype(np.float32), reference
    )  # fmt: skip


@pytest.fixture
def a_regional_study(a_study: Study) -> Study:
    """The complete study as a regional method without an artery would give it: DSC, relative maps, regions, status codes."""
    times, brain = a_study.series.times_s, a_study.masks.brain
    regions = a_region_fit(times, brain, a_study.masks.csf)
    codes = {0: "ok", 1: "outside of the mask", 7: "no tracer"}
    quality = np.where(brain, np.where(regions.labels == 4, 7, 0), 1).astype(np.uint8)
    provenance = Provenance("hemopic", {"status_codes": {str(code): words for code, words in codes.items()}}, "test")
    units = {"cbf": "relative", "cbv": "relative", "baseline": "signal", "mip": "1/s"}
    maps = PerfusionMaps(
        [
            replace(item, provenance=provenance, quality=quality, unit=units.get(key, item.unit))
            for key, item in a_study.maps.items()
        ]
    )
    series = replace(a_study.series, modality="dsc")
    signal = np.where(brain, 300.0 + 4.0 * np.indices(SHAPE)[1], 5.0).astype(np.float32)
    maps = maps.added(replace(maps["baseline"], values=signal))
    concentration = replace(a_study.concentration, unit="1/s", baseline=signal)
    reference = InputFunction(times, np.asarray(regions.reference, float), kind="reference")
    numbers = {**a_study.metrics.values, "flow_scale": "relative", "aif": None}
    return replace(
        a_study, series=series, concentration=concentration, aif=reference, vof=None, maps=maps, regions=regions,
        settings={"method": "hemopic"}, metrics=Metrics(numbers), findings=(),
    )  # fmt: skip


ASL_DELAYS_S = (1.0, 1.5, 2.0, 2.5)
ASL_LABEL_S = 1.5


def asl_truth() -> dict[str, np.ndarray]:
    """Flow (mL/100 g/min), arrival (s), fractions and the region of low flow on the patient's left, on `SHAPE`."""
    brain, _ = head_masks()
    i, j, _ = np.indices(SHAPE)
    white = brain & (np.hypot((i - 23.5) / 12.0, (j - 27.5) / 15.0) < 1.0)
    low = brain & (np.hypot(i - 36, j - 27) < 7)  # i grows to the patient's left
    flow = np.where(white, 22.0, np.where(brain, 60.0, 0.0)) * np.where(low, 0.3, 1.0)
    arrival = np.where(white, 1.6, 1.2) + np.where(low, 0.6, 0.0)
    return {"cbf": flow, "att": arrival, "gm": (brain & ~white) * 1.0, "wm": white * 1.0, "low": low, "brain": brain}


def label_in_tissue(flow: float, arrival: float, delay: float, label_s: float, t1: float, t1_blood: float = 1.65) -> float:
    """Label density by summing over all blood that arrived: no closed form, so that models are tested against something else."""
    time = delay + label_s
    steps = 4000
    width = min(max(time - arrival, 0.0), label_s) / steps
    arrived = arrival + (np.arange(steps) + 0.5) * width
    loss = 1.0 / t1 + flow / 6000.0 / 0.9
    return float(flow / 6000.0 * np.exp(-arrival / t1_blood) * np.exp(-(time - arrived) * loss).sum() * width)


@pytest.fixture
def an_asl_series() -> AslSeries:
    """A still PCASL scan of two pairs at each of four delays with a separate M0; SNR 1500, efficiency 0.85, no suppression."""
    truth = asl_truth()
    density = np.zeros((*SHAPE, len(ASL_DELAYS_S)))
    for flow, arrival in {(float(f), float(a)) for f, a in zip(truth["cbf"].ravel(), truth["att"].ravel(), strict=True) if f > 0}:
        here = (truth["cbf"] == flow) & (truth["att"] == arrival)
        t1 = 0.83 if truth["wm"][here].all() else 1.33
        density[here] = [label_in_tissue(flow, arrival, delay, ASL_LABEL_S, t1) for delay in ASL_DELAYS_S]
    still = np.where(truth["brain"], np.where(truth["wm"] > 0, 900.0, 1000.0), 4.0)
    difference = density * 2.0 * 0.85 / 0.9 * still[..., None]
    rng = np.random.default_rng(3)
    volumes, kinds, delays = [], [], []
    for at, delay in enumerate(ASL_DELAYS_S):
        for kind in ("control", "label") * 2:
            signal = still - (difference[..., at] if kind == "label" else 0.0)
            volumes.append(signal + rng.normal(0.0, 1000.0 / 1500.0, SHAPE))
            kinds.append(kind)
            delays.append(delay)
    return AslSeries(
        np.stack(volumes, axis=-1).astype(np.float32), AFFINE, tuple(kinds), np.array(delays), np.full(len(kinds), ASL_LABEL_S),
        m0=still.astype(np.float32), m0_repetition_s=20.0, labeling_efficiency=0.85, background_suppression_pulses=0,
        field_strength_t=3.0, source=Source("phantom", "case-01"),
    )  # fmt: skip
