# SPDX-License-Identifier: Apache-2.0
"""A made-up cohort of the published size through 'aggregate' and 'statistics', and how often intervals hold the truth.

    python Testing/benchmarks/cohort_statistics.py [--seed N] [--cohorts 400] [--out FOLDER]

The cohort has 123 cases with a collateral grade (ASITN/SIR 0-4), and indices whose true areas are known: 0.83 for the corrected
CBV index as published, less for the others. Its metrics.json files are of this version and of an older one, with a broken file
between them. Then areas, intervals and models are compared with those of other programs and of plain sums, and many such cohorts
are drawn: the share of 95 % intervals that hold the true value is compared with 95 %.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from figure_seeds import commit_id, figure_seeds
from scipy import stats

from PerfusionSuiteLib.cli.main import main as perfusion_suite
from PerfusionSuiteLib.evaluation import delong, logistic, odds_ratios, roc

CASES, GOOD_SHARE = 123, 0.52
TRUE_AREAS = {"corrected_cbv_index": 0.83, "conventional_cbv_index": 0.72, "hir": 0.76}
CORRELATION = 0.45
PREDICTORS = ("corrected_cbv_index", "conventional_cbv_index", "hir")
COVERAGE_GOAL = (0.93, 0.97)


def shift_for(area: float) -> float:
    """Return by how many standard deviations two normal classes differ when the area is `area`."""
    return float(np.sqrt(2.0) * stats.norm.ppf(area))


def draw(seed: int, cases: int = CASES) -> dict[str, np.ndarray]:
    """Draw a cohort: correlated normal scores, shifted between the classes, in the ranges of the indices."""
    generator = np.random.default_rng(seed)
    good = generator.permutation(np.arange(cases) < round(GOOD_SHARE * cases))
    mixed = np.full((3, 3), CORRELATION) + (1.0 - CORRELATION) * np.eye(3)
    mixed[2, :2] *= -1.0
    mixed[:2, 2] *= -1.0
    scores = generator.multivariate_normal(np.zeros(3), mixed, size=cases)
    for column, (name, sign) in enumerate(zip(PREDICTORS, (1.0, 1.0, -1.0), strict=True)):
        scores[:, column] += sign * shift_for(TRUE_AREAS[name]) * good
    grade = np.where(good, generator.choice([3, 4], cases), generator.choice([0, 1, 2], cases, p=[0.15, 0.35, 0.5]))
    return {
        "good": good,
        "grade": grade,
        "corrected_cbv_index": np.round(0.62 + 0.15 * scores[:, 0], 4),
        "conventional_cbv_index": np.round(0.66 + 0.17 * scores[:, 1], 4),
        "hir": np.round(stats.norm.cdf(0.55 * scores[:, 2] + 0.1), 4),
        "age": np.round(generator.normal(70.0, 11.0, cases)),
        "male": generator.random(cases) < 0.55,
        "core_ml": np.round(np.exp(generator.normal(3.0, 0.7, cases) - 0.4 * good), 1),
    }


def write_cases(cohort: dict[str, np.ndarray], folder: Path) -> None:
    """Write a folder per case, and outcomes.csv beside them."""
    for at in range(cohort["good"].size):
        case = folder / "results" / f"case-{at + 1:03d}"
        case.mkdir(parents=True)
        (case / "metrics.json").write_text(json.dumps(metrics_of(cohort, at)), encoding="utf-8")
    broken = folder / "results" / "case-broken"
    broken.mkdir()
    (broken / "metrics.json").write_text('{"schema": "perfusion-suite/metrics/1", "hir": ', encoding="utf-8")
    with (folder / "outcomes.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["case", "patient_name", "asitn_sir", "age", "sex", "occlusion"])
        for at in range(cohort["good"].size):
            sex, site = ("male", "female")[int(not cohort["male"][at])], ("M1", "M2", "ICA")[at % 7 % 3]
            age = "" if at % 41 == 40 else f"{cohort['age'][at]:.0f}"
            writer.writerow([f"case-{at + 1:03d}", "withheld, never copied", cohort["grade"][at], age, sex, site])


def metrics_of(cohort: dict[str, np.ndarray], at: int) -> dict[str, object]:
    """Return a case's file: of this version, of one with fewer entries, or without one of the indices."""
    core, hir = float(cohort["core_ml"][at]), float(cohort["hir"][at])
    values: dict[str, object] = {
        "schema": "perfusion-suite/metrics/1",
        "case_id": f"case-{at + 1:03d}",
        "infarct_core_volume_ml": core,
        "hypoperfusion_volume_ml": round(core * 2.4, 1),
        "hir": hir,
        "corrected_cbv_index": float(cohort["corrected_cbv_index"][at]),
        "conventional_cbv_index": None if at % 17 == 16 else float(cohort["conventional_cbv_index"][at]),
        "pvt": {"status": "none", "assessable": True},
        "slice_statistics": [{"slice": n, "core_cm2": 1.0} for n in range(8)],
    }
    if at % 10 == 9:
        values["schema"] = "perfusion-suite/metrics/0"
        del values["pvt"], values["slice_statistics"]
    return values


def coverage(cohorts: int, seed: int) -> None:
    """Print how often intervals hold the true area and the true odds ratio."""
    areas = dict.fromkeys(PREDICTORS, 0)
    bootstrap = profile = wald = difference = 0
    # The classes of a logistic model: log odds are linear in a normal score with equal spread; its slope is the shift.
    truth = shift_for(TRUE_AREAS["corrected_cbv_index"]) / 0.15
    for number in range(cohorts):
        drawn = draw(seed + number)
        good = drawn["good"]
        for name in PREDICTORS:
            found = delong.delong_interval(drawn[name], good, higher=name != "hir")
            areas[name] += found.low <= TRUE_AREAS[name] <= found.high
        pair = delong.delong_test(drawn["corrected_cbv_index"], drawn["conventional_cbv_index"], good)
        difference += pair.low <= TRUE_AREAS["corrected_cbv_index"] - TRUE_AREAS["conventional_cbv_index"] <= pair.high
        drawn_again = delong.bootstrap_interval(drawn["corrected_cbv_index"], good, resamples=1000, seed=number)
        bootstrap += drawn_again.low <= TRUE_AREAS["corrected_cbv_index"] <= drawn_again.high
        fit = logistic.fit_logistic(drawn["corrected_cbv_index"][:, None], good, ["index"])
        row = odds_ratios.odds_ratios(fit, steps={"index": 0.1})[1]
        expected = np.exp(0.1 * truth)
        wald += row.wald_low <= expected <= row.wald_high
        profile += (row.profile_low or 0.0) <= expected <= (row.profile_high or np.inf)
    rows = [(f"DeLong, {name}", count) for name, count in areas.items()]
    rows += [("DeLong, difference of two areas", difference), ("bootstrap, corrected_cbv_index", bootstrap)]
    rows += [("odds ratio, Wald", wald), ("odds ratio, profile", profile)]
    low, high = COVERAGE_GOAL
    print(f"\nShare of 95 % intervals that hold the truth, {cohorts} cohorts of {CASES} (goal {low} to {high}):")
    for name, count in rows:
        share = count / cohorts
        verdict = "reached" if low <= share <= high else "missed"
        print(f"  {name:<36} {share:.3f}  {verdict}")


def agreement(seed: int) -> None:
    """Print the largest differences from other programs and from plain sums on one cohort."""
    drawn = draw(seed)
    good, index, hir = drawn["good"], drawn["corrected_cbv_index"], drawn["hir"]
    found = delong.delong_interval(index, good)
    pairs = (index[good][:, None] > index[~good]) + 0.5 * (index[good][:, None] == index[~good])
    variance = pairs.mean(axis=1).var(ddof=1) / good.sum() + pairs.mean(axis=0).var(ddof=1) / (~good).sum()
    rows = {"area, all pairs": abs(found.auc - pairs.mean()), "DeLong's variance, all pairs": abs(found.se**2 - variance)}
    fit = logistic.fit_logistic(np.column_stack([index, hir]), good, ["index", "hir"])
    try:
        import statsmodels.api as sm
        from sklearn.metrics import roc_auc_score
    except ImportError:
        print("\nscikit-learn and statsmodels are not installed: no agreement with them was measured.")
        return
    rows["area, scikit-learn"] = abs(roc.auc(index, good) - roc_auc_score(good, index))
    other = sm.Logit(good.astype(float), sm.add_constant(np.column_stack([index, hir]))).fit(disp=0, tol=1e-12)
    rows["logistic coefficients, statsmodels' Logit"] = float(np.abs(other.params - fit.coefficients).max())
    rows["standard errors, statsmodels' Logit"] = float(np.abs(other.bse - np.sqrt(np.diag(fit.covariance))).max())
    print("\nLargest difference from other programs (goal 1e-6):")
    for name, value in rows.items():
        print(f"  {name:<44} {value:.1e}  {'reached' if value <= 1e-6 else 'missed'}")


def end_to_end(seed: int, folder: Path) -> int:
    """Run both commands on the files of a cohort."""
    write_cases(draw(seed), folder)
    code = perfusion_suite(
        ["aggregate", str(folder / "results"), "--output", str(folder / "summary.csv"),
         "--outcomes", str(folder / "outcomes.csv"), "--id-column", "case"]
    )  # fmt: skip
    start = time.perf_counter()
    code = code or perfusion_suite(
        ["statistics", str(folder / "summary.csv"), str(folder / "statistics"), "--outcome", "asitn_sir", "--positive", "3", "4",
         "--predictors", *PREDICTORS, "age", "--describe", "sex", "occlusion", "infarct_core_volume_ml",
         "--per", "corrected_cbv_index=0.1", "conventional_cbv_index=0.1", "hir=0.1", "age=10",
         "--labels", "asitn_sir=ASITN/SIR", "age=Age, years", "sex=Sex", "occlusion=Occlusion"]
    )  # fmt: skip
    print(f"statistics took {time.perf_counter() - start:.0f} s")
    if code == 0:
        with (folder / "statistics" / "roc.csv").open(encoding="utf-8") as stream:
            row = next(csv.DictReader(stream))
        low, high = float(row["delong_low"]), float(row["delong_high"])
        verdict = "reached" if low <= TRUE_AREAS["corrected_cbv_index"] <= high else "missed"
        print(
            f"True area {TRUE_AREAS['corrected_cbv_index']} of the corrected CBV index within [{low:.3f}, {high:.3f}]: {verdict}"
        )
    return code


def main() -> int:
    """Run the cohort, then the agreement, then the coverage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, help="of the cohort (default: drawn from the commit)")
    parser.add_argument("--cohorts", type=int, default=400, help="how many are drawn for the coverage (default 400; 0: none)")
    parser.add_argument("--out", type=Path, help="keep the files of the cohort here")
    options = parser.parse_args()
    seed = figure_seeds(1)[0] if options.seed is None else options.seed
    print(f"Commit {commit_id()[:12]}, seed {seed}")
    with tempfile.TemporaryDirectory() as temporary:
        code = end_to_end(seed, options.out or Path(temporary))
    agreement(seed)
    if options.cohorts > 0:
        coverage(options.cohorts, seed)
    return code


if __name__ == "__main__":
    sys.exit(main())
