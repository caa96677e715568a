# SPDX-License-Identifier: Apache-2.0
"""HemoPIC on digital DSC-MRI patients with a stroke, beside deconvolution, the box model and posterior means.

    python Testing/benchmarks/hemopic_patients.py [--patients 4] [--seeds 31 32] [--development] [--out FOLDER]

Every method runs in the chain that users run; motion correction and vascular curves are made once per patient. Without an artery
flow and volume are known up to one factor of the scan, so the errors of all methods are given after one factor (the median of
truth over estimate of CBF in normal tissue, used for CBV, too), and those of delay after one shift (likewise). Transit times are
absolute in all methods. The published mode has no delay: its delay and Tmax are those of the deconvolution that it starts from.
Tissue classes are the ones that the product estimates from the scan itself; the published mode also gets
the maps of the block-circulant SVD, as in its paper. Figure seeds come from the commit (figure_seeds.py).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from figure_seeds import ROOT, commit_id, figure_seeds

from PerfusionSuiteLib import phantom, pipeline
from PerfusionSuiteLib.core.quantities import QUANTITIES
from PerfusionSuiteLib.evaluation import residue_class, seen_truth
from PerfusionSuiteLib.evaluation.hemopic_discrimination import detect
from PerfusionSuiteLib.results import write_rows
from PerfusionSuiteLib.results.pictures import canvas
from PerfusionSuiteLib.results.pictures.views import as_picture, picture_mm, position_words, view_of

METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "osvd": ("osvd", {}),
    "box (nlr)": ("nlr", {}),
    "bayes": ("bayes", {}),
    "hemopic, no artery": ("hemopic", {}),
    "hemopic, artery": ("hemopic", {"input": "aif"}),
    "hemopic, published": ("hemopic-compat", {}),
}
SITES = ("m1", "m2-superior", "ica", "m2-inferior", "m3", "pca")
GRID: dict[str, Any] = {"shape": (96, 96, 12), "spacing_mm": (2.4, 2.4, 8.0)}
LOW = ("cbf", "cbv")
NUMBERS = (
    ("cbf_error_%", "CBF err %", ".1f"), ("cbf_r", "CBF r", ".3f"), ("cbv_error_%", "CBV err %", ".1f"),
    ("mtt_bias_s", "MTT bias", "+.2f"), ("mtt_error_s", "MTT err", ".2f"), ("delay_rmse_s", "delay RMSE", ".2f"),
    ("tmax_error_s", "Tmax err", ".2f"), ("auc_cbf", "AUC CBF", ".3f"), ("auc_mtt", "AUC MTT", ".3f"),
    ("auc_tmax", "AUC Tmax", ".3f"), ("ap_cbf", "AP CBF", ".3f"), ("ap_mtt", "AP MTT", ".3f"), ("ap_tmax", "AP Tmax", ".3f"),
    ("cover_cbf_%", "68% CBF", ".0f"), ("cover_mtt_%", "68% MTT", ".0f"), ("cover_delay_%", "68% delay", ".0f"),
    ("cover_tmax_%", "68% Tmax", ".0f"), ("seconds", "s", ".1f"),
)  # fmt: skip


def main() -> None:
    """Print one line per patient and method, then medians; write the table and a picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=4)
    parser.add_argument("--seeds", type=int, nargs="+")
    parser.add_argument("--development", action="store_true", help="seeds from 1 on")
    parser.add_argument("--recipe", default="typical", choices=("clean", "typical", "hard"))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS), metavar="METHOD")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmark-output" / "hemopic_patients", help="table and picture")
    options = parser.parse_args()
    given = list(range(1, options.patients + 1)) if options.development else options.seeds
    seeds = given or figure_seeds(options.patients)
    print(f"commit {commit_id()}  seeds {seeds}  recipe {options.recipe}  grid {GRID['shape']}")
    print(header())
    rows: list[dict[str, Any]] = []
    for at, seed in enumerate(seeds):
        series, truth = phantom.dsc(seed=seed, site=SITES[at % len(SITES)], recipe=options.recipe, **GRID)
        found = analyze(series, truth, options.methods)
        about = {"seed": seed, "site": SITES[at % len(SITES)], "residue": residue_class(truth)}
        for name, (study, seen, seconds) in found.items():
            rows.append({**about, "method": name, **score(study, seen), "seconds": seconds})
            print(line(rows[-1]), flush=True)
        if at == 0:
            canvas.save(draw(found, about), options.out / "example.png")
        write_rows(options.out / "patients.csv", rows)
    print(f"\nMedians over {len(seeds)} patients")
    for name in options.methods:
        own = [row for row in rows if row["method"] == name]
        medians = {key: middle([row[key] for row in own]) for key, *_ in NUMBERS}
        print(line({"seed": "", "site": "", "residue": "", "method": name} | medians))
    verdict(rows)
    print(f"Written to {options.out}")


def analyze(series: Any, truth: Any, methods: list[str]) -> dict[str, tuple[Any, Any, float]]:
    """Return study, truth at its place and seconds of each method; what comes before the maps is done once."""
    first = pipeline.run(series, pipeline.Settings(method="osvd"))
    inputs = pipeline.UserInputs(aif=first.aif, vof=first.vof)
    found = {}
    for name in methods:
        method, options = METHODS[name]
        settings = pipeline.Settings(method=method, method_options=options, motion_correction=False, scale_to_white_matter=False)
        # Without an artery means without an artery: then the curve that was found must not go in.
        blind = method == "hemopic" and not options
        start = time.perf_counter()
        study = pipeline.run(first.series, settings, inputs=pipeline.UserInputs() if blind else inputs)
        seconds = time.perf_counter() - start
        found[name] = (study, seen_truth(first, truth), seconds)
    return found


def score(study: Any, truth: Any) -> dict[str, float]:
    """Return the numbers of one study."""
    counted = truth.masks["scored"] & study.masks.tissue
    normal = counted & ~truth.masks["hypoperfusion"]
    maps = {key: study.maps[key].values.astype(float) for key in study.maps}
    known = {key: np.asarray(values, float) for key, values in truth.maps.items()}
    scale = middle((known["cbf"] / np.where(maps["cbf"] > 0, maps["cbf"], np.nan))[normal])
    numbers: dict[str, float] = {"scale": scale}
    for key in LOW:
        estimate, true = scale * maps[key][counted], known[key][counted]
        good = np.isfinite(estimate) & np.isfinite(true) & (true > 0)
        numbers[f"{key}_error_%"] = 100.0 * float(np.median(np.abs(estimate[good] / true[good] - 1.0)))
        numbers[f"{key}_r"] = float(np.corrcoef(estimate[good], true[good])[0, 1])
    difference = (maps["mtt"] - known["mtt"])[counted]
    numbers |= {"mtt_bias_s": middle(difference), "mtt_error_s": middle(np.abs(difference))}
    shifts = {"cbf": 0.0, "mtt": 0.0}
    for key in ("delay", "tmax"):
        shifts[key] = middle((known[key] - maps[key])[normal]) if key in maps else np.nan
        late = (maps[key] + shifts[key] - known[key])[counted] if key in maps else np.array([np.nan])
        finite = late[np.isfinite(late)]
        numbers[f"{key}_shift_s"] = shifts[key]
        numbers[f"{key}_rmse_s"] = float(np.sqrt((finite**2).mean())) if finite.size else np.nan
        numbers[f"{key}_error_s"] = middle(np.abs(finite)) if finite.size else np.nan
    for key in ("cbf", "mtt", "delay", "tmax"):
        numbers[f"cover_{key}_%"] = coverage(maps, known, key, counted, scale if key == "cbf" else 1.0, shifts[key])
    return {**numbers, **lesion_numbers(maps, truth, counted)}


def coverage(maps: dict[str, Any], known: dict[str, Any], key: str, where: Any, scale: float, shift: float) -> float:
    """Return the share of voxels whose 68 % interval holds the truth, in percent."""
    if f"{key}_sd" not in maps or key not in maps:
        return float("nan")
    off = np.abs(scale * maps[key] + shift - known[key])[where]
    sd = scale * maps[f"{key}_sd"][where]
    good = np.isfinite(off) & np.isfinite(sd)
    return 100.0 * float((off[good] <= sd[good]).mean()) if good.any() else float("nan")


def lesion_numbers(maps: dict[str, Any], truth: Any, counted: Any) -> dict[str, float]:
    """Return ROC area and average precision of true hypoperfusion, by voxel."""
    numbers = {}
    for key in ("cbf", "cbv", "mtt", "tmax"):
        area = precision = float("nan")
        if key in maps:
            good = counted & np.isfinite(maps[key])
            values = maps[key][good] * (-1.0 if key in LOW else 1.0)
            found = detect(values, truth.masks["hypoperfusion"][good])
            if found is not None:
                area, precision = found.roc.auc, found.average_precision
        numbers |= {f"auc_{key}": area, f"ap_{key}": precision}
    return numbers


def verdict(rows: list[dict[str, Any]]) -> None:
    """Say what is to be reached and whether it was."""
    for name in ("hemopic, no artery", "hemopic, artery"):
        own = [row for row in rows if row["method"] == name]
        if not own:
            continue
        for key in ("cbf", "mtt", "delay"):
            share = middle([row[f"cover_{key}_%"] for row in own])
            reached = "reached" if 60.0 <= share <= 76.0 else "missed"
            print(f"{name}: 68 % interval of {QUANTITIES[key].symbol} covers {share:.0f} %, to reach 60 to 76 %: {reached}")


def middle(values: Any) -> float:
    """Return the median of the numbers that exist."""
    array = np.asarray(values, float)
    array = array[np.isfinite(array)]
    return float(np.median(array)) if array.size else float("nan")


def header() -> str:
    """Return the head of the table."""
    return f"{'seed':>11s} {'site':12s} {'residue':12s} {'method':19s}" + "".join(f"{title:>11s}" for _, title, _ in NUMBERS)


def line(row: dict[str, Any]) -> str:
    """Return one line of the table."""
    cells = ("–" if np.isnan(row[key]) else format(row[key], form) for key, _, form in NUMBERS)
    return f"{row['seed']!s:>11s} {row['site']:12s} {row['residue']:12s} {row['method']:19s}" + "".join(
        f"{cell:>11s}" for cell in cells
    )


def draw(found: dict[str, tuple[Any, Any, float]], about: dict[str, Any]) -> Any:
    """Draw one slice of a patient: the truth and each method, flow and volume after the factor."""
    keys = ("cbf", "cbv", "mtt", "delay", "tmax")
    study, truth, _ = next(iter(found.values()))
    view = view_of(study.masks.brain, study.maps.affine)
    lesion = view.turn(truth.masks["hypoperfusion"])
    at = int(lesion.sum(axis=(0, 1)).argmax())
    size = picture_mm(view, "axial")
    panel, label, head, foot = 1.7, 1.75, 1.08, 0.75
    high = panel * size[1] / size[0]
    rows: dict[str, dict[str, Any]] = {"truth": {key: np.asarray(truth.maps[key], float) for key in keys}}
    for name, (one, seen, _) in found.items():
        numbers = score(one, seen)
        factor = {"cbf": numbers["scale"], "cbv": numbers["scale"]}
        shift = {key: numbers[f"{key}_shift_s"] for key in ("delay", "tmax")}
        rows[name] = {k: one.maps[k].values * factor.get(k, 1.0) + shift.get(k, 0.0) for k in keys if k in one.maps}
    figure = canvas.new_figure(label + len(keys) * (panel + 0.06) + 0.1, head + len(rows) * (high + 0.06) + foot, canvas.FILM)
    width, height = figure.get_size_inches()
    for row, (name, maps) in enumerate(rows.items()):
        top = head + row * (high + 0.06)
        words = name.replace(", ", ",\n")
        figure.text(
            0.1 / width, 1 - (top + high / 2) / height, words, color=canvas.INK, fontsize=10, fontweight="bold", va="center"
        )
        for column, key in enumerate(keys):
            axes = canvas.axes_at(figure, label + column * (panel + 0.06), top, panel, high)
            quantity = QUANTITIES[key]
            if row == 0:
                axes.set_title(quantity.symbol, color=canvas.INK, fontsize=10, pad=4)
            if key not in maps:
                axes.set_facecolor(canvas.FILM)
                axes.set_axis_off()
                axes.text(0.5, 0.5, "no map", color=canvas.FAINT, fontsize=9, ha="center", transform=axes.transAxes)
                continue
            shown = np.where(view.turn(study.masks.tissue)[:, :, at], view.turn(maps[key])[:, :, at], np.nan)
            canvas.show_image(axes, as_picture(shown), size, quantity.display_range, quantity.colormap)
            canvas.outline(axes, as_picture(lesion[:, :, at]), size, "white", 0.9)
            if column == 0:
                canvas.letters(axes, "axial", 8.0)
    for column, key in enumerate(keys):
        axes = canvas.axes_at(figure, label + column * (panel + 0.06) + 0.15, height - foot + 0.12, panel - 0.3, 0.12)
        quantity = QUANTITIES[key]
        low, top_value = quantity.display_range
        strip = np.linspace(low, top_value, 256)[None, :]
        axes.imshow(strip, cmap=canvas.map_colors(quantity.colormap), aspect="auto", extent=(low, top_value, 0, 1))
        axes.set_yticks([])
        axes.set_xticks([low, top_value], [f"{low:g}", f"≥ {top_value:g}"])
        axes.tick_params(colors=canvas.INK, labelsize=8, length=2.0, pad=2)
        axes.set_xlabel(quantity.unit, color=canvas.INK, fontsize=8, labelpad=1)
    title = f"Digital DSC-MRI patient of seed {about['seed']} ({about['site']}), slice {position_words(view, at)}"
    note = "Radiological convention. Outline: true hypoperfusion. CBF and CBV after one factor, delay and Tmax after one shift."
    figure.text(0.1 / width, 1 - 0.25 / height, title, color=canvas.INK, fontsize=12, fontweight="bold", va="center")
    figure.text(0.1 / width, 1 - 0.5 / height, note, color=canvas.FAINT, fontsize=9, va="center")
    more = "The published mode has no delay: its delay and Tmax are those of the deconvolution that it starts from."
    figure.text(0.1 / width, 1 - 0.66 / height, more, color=canvas.FAINT, fontsize=9, va="center")
    return figure


if __name__ == "__main__":
    main()
