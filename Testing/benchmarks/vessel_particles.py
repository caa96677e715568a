# SPDX-License-Identifier: Apache-2.0
"""Random particles of blood through the vessels of a simulated cube: a check of its transport that shares no formula with it."""

import numpy as np

from PerfusionSuiteLib.phantom.vessels.transport import capillary_volume, extraction
from PerfusionSuiteLib.phantom.vessels.values import T1_BLOOD_S


def label_of_particles(scene, made, preset, labeling_s, times, count, seed=9):
    """Send particles of blood through the same trees; return the label in each compartment at each time, mm3."""
    rng = np.random.default_rng(seed)
    arteries, veins = made.arteries, made.veins
    leaf, back = np.flatnonzero(arteries.terminal >= 0), np.flatnonzero(veins.terminal >= 0)
    flow = arteries.flow[leaf]
    home = np.zeros(scene.perfusion.size)
    home[veins.terminal[back]] = veins.arrival(0.5 * made.shear)[back]
    who = rng.choice(leaf.size, count, p=flow / flow.sum())
    enters = made.entry_s[leaf][who] + labeling_s * rng.random(count)
    there = arteries.arrival(made.shear)[leaf][who] / (2.0 * np.sqrt(rng.random(count)))
    size = (0.5 + rng.random((3, 2 * count))).T
    size = size[rng.random(2 * count) < size[:, 2] / 1.5][:count]  # capillaries are entered in the ratio of their flows
    mean = (capillary_volume(flow) / flow)[who]
    through = rng.gamma(10.0, mean * size[:, 0] ** 2 * size[:, 1] / (13.0 / 12.0) / size[:, 2] / 10.0)
    stays = rng.random(count) < extraction(flow, preset.exchange)[who]
    away = home[arteries.terminal[leaf][who]] / (2.0 * np.sqrt(rng.random(count)))
    relax = scene.t1_tissue_s.ravel()[arteries.terminal[leaf][who]]
    total = flow.sum() * labeling_s / count
    sums = {"arteries": [], "tissue": [], "veins": []}
    for time in times:
        age = time - enters
        # Decay counts from the moment of labeling: arrival at the root is late by the entry of its tree.
        blood = np.exp(-(made.entry_s[leaf][who] + age) / T1_BLOOD_S)
        water = np.exp(-(made.entry_s[leaf][who] + there) / T1_BLOOD_S - (age - there) / relax)
        in_tissue = (age >= there) & (stays | (age < there + through))
        sums["arteries"].append((blood * ((age > 0) & (age < there))).sum() * total)
        sums["tissue"].append((np.where(stays, water, blood) * in_tissue)[age > 0].sum() * total)
        leaving = ~stays & (age >= there + through) & (age < there + through + away)
        sums["veins"].append((blood * leaving).sum() * total)
    return {name: np.array(values) for name, values in sums.items()}
