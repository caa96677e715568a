# SPDX-License-Identifier: Apache-2.0
"""The vessel simulator: time of each step of a cube, statistics of both builders' forests, transport against random particles.

    python Testing/benchmarks/vessels.py [--cubes 5] [--seed 700000] [--particles 4000000] [--brain SEED]

Goals: 1.5 s per cube and core with numba, 5 s with numpy; every compartment within 1.5 % of the particles (veins of a cube with
exchange hold so little that chance alone gives 1 %). --brain also simulates a head: half a minute per tree is the goal.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import vessel_particles

from PerfusionSuiteLib.phantom import vessels
from PerfusionSuiteLib.phantom.vessels import cube as cube_module
from PerfusionSuiteLib.phantom.vessels.acceleration import compiler_present
from PerfusionSuiteLib.phantom.vessels.regions import make_scene

STEPS = ("make_scene", "grow", "arterial_label", "capillary_label", "venous_label")
LABELING_S, DELAYS_S = vessels.PUBLISHED_DURATION_S, np.array(vessels.PUBLISHED_DELAYS_S)


def timed(function: Callable[..., Any], name: str, seconds: dict[str, float]) -> Callable[..., Any]:
    """Return a function that adds the processor time of its calls to a table."""

    def call(*args: Any, **options: Any) -> Any:
        start = time.process_time()
        result = function(*args, **options)
        seconds[name] += time.process_time() - start
        return result

    return call


def time_cubes(builder: str, count: int, seed: int, preset: str) -> dict[str, float]:
    """Return the mean processor time of each step of a cube, s."""
    seconds: dict[str, float] = defaultdict(float)
    originals = {name: getattr(cube_module, name) for name in STEPS}
    vessels.make_cube(seed, preset, builder=builder)  # tables are made, loops are compiled
    try:
        for name, function in originals.items():
            setattr(cube_module, name, timed(function, name, seconds))
        start = time.process_time()
        for number in range(count):
            vessels.make_cube(seed + number, preset, builder=builder)
        seconds["whole cube"] = time.process_time() - start
    finally:
        for name, function in originals.items():
            setattr(cube_module, name, function)
    return {name: value / count for name, value in seconds.items()}


def compare_forests(builders: list[str], seed: int) -> None:
    """Print statistics of forests of one cube by each builder."""
    need = make_scene(vessels.PRESETS["published"], np.random.default_rng([seed, 0])).perfusion / 6000.0
    print("\nForests at a wall shear rate of 500 1/s (reference: 313-328 trees, V 3250-3600, depth 31-35, median 0.89-0.97 s)")
    for builder in builders:
        forest = cube_module.grow(need, np.random.default_rng([seed, 1]), builder=builder)
        leaf = forest.terminal >= 0
        arrival = forest.arrival(500.0)[leaf]
        trees, depth = int((forest.parent < 0).sum()), forest.depth[leaf].mean()
        print(
            f"  {builder:9s} trees {trees:4d}  V {forest.cost():6.0f}  depth {depth:5.1f}  longest {forest.length.max():.2f} mm"
        )
        print(f"  {'':9s} arrival median {np.median(arrival):.2f} s, 95 % {np.percentile(arrival, 95):.2f} s")


def compare_particles(preset_name: str, seed: int, particles: int) -> None:
    """Print label by compartment and delay over that of random particles."""
    preset = vessels.PRESETS[preset_name]
    scene = make_scene(preset, np.random.default_rng([seed, 0]))
    times = np.sort(np.concatenate([DELAYS_S, DELAYS_S + LABELING_S]))
    _, made = cube_module.simulate(scene, preset, seed, times)
    expected = vessel_particles.label_of_particles(scene, made, preset, LABELING_S, DELAYS_S + LABELING_S, particles)
    print(f"\nLabel over that of {particles} particles, preset {preset_name}, seed {seed}, at {', '.join(map(str, DELAYS_S))} s")
    for name, label in made.labels.items():
        found = vessels.signal(label.sum(axis=0), times, LABELING_S, DELAYS_S)
        share = expected[name] / sum(expected.values())
        ratios = "  ".join(f"{ratio:.4f}" for ratio in found / expected[name])
        print(f"  {name:9s} {ratios}   share of all label {share[0]:.2f} to {share[-1]:.2f}")


def time_brain(seed: int) -> None:
    """Print when each step of a head began."""
    start, wall = time.process_time(), time.perf_counter()
    last = ""

    def report(fraction: float, stage: str) -> None:
        nonlocal last
        if stage != last:
            print(f"  {time.process_time() - start:6.1f} s of one core  {stage}")
            last = stage

    print(f"\nA head, seed {seed}")
    head = vessels.brain(seed=seed, progress=report)
    print(f"  {time.process_time() - start:6.1f} s of one core  done ({time.perf_counter() - wall:.0f} s by the clock)")
    gray, white = head.gray > 0.8, head.white > 0.9
    print(
        f"  {head.parameters['terminals']} terminals; arrival median {np.nanmedian(head.arrival_s[gray]):.2f} s in gray, "
        f"{np.nanmedian(head.arrival_s[white]):.2f} s in white matter; {0.06 * head.perfusion.sum() / 6000 * 16:.0f} mL/min"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cubes", type=int, default=5)
    parser.add_argument("--seed", type=int, default=700_000)
    parser.add_argument("--particles", type=int, default=4_000_000)
    parser.add_argument("--brain", metavar="SEED", type=int)
    options = parser.parse_args()
    builders = (["compiled"] if compiler_present() else []) + ["rounds"]
    for builder in builders:
        for preset in vessels.PRESETS:
            table = time_cubes(builder, options.cubes, options.seed, preset)
            print(
                f"{builder:9s} {preset:10s}"
                + "".join(f"  {name} {seconds:.3f}" for name, seconds in table.items())
                + "  s per cube"
            )
    compare_forests(builders, options.seed)
    for preset in vessels.PRESETS:
        compare_particles(preset, options.seed, options.particles)
    if options.brain is not None:
        time_brain(options.brain)


if __name__ == "__main__":
    main()
