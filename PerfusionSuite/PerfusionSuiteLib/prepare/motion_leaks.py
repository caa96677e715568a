# SPDX-License-Identifier: Apache-2.0
"""What moving thick slices back leaves beside steep edges, above all beside the skull: found by place, taken out by pose.

A frame that lies half a slice away from the reference cannot be brought back exactly. Beside sloping bone the error is tens of
HU, several times the enhancement of tissue, and gives flows that no tissue has. Three things are known of it. It is large where
an image that is moved away and back has lost much. It is a smooth function of the pose, so that frames in which the head lay
alike err alike. And tissue around shows what enhancement to expect.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.spatial.transform import Rotation

from ..core.geometry import BoolArray, FloatArray, voxel_sizes
from ..core.progress import ProgressCallback, no_progress
from ..core.values import Concentration, MotionReport
from .resample import lost_by_moving, voxel_transforms

_WAYS = np.array([way for way in np.ndindex(3, 3, 3) if way != (1, 1, 1)]) - 1.0
HEAD_MM = _WAYS / np.linalg.norm(_WAYS, axis=1, keepdims=True) * [65.0, 80.0, 55.0]
"""Points all around a brain, relative to the center of the head: how far they lie apart says how different two poses are."""

ALIKE_MM = 1.5
"""Poses this far apart err alike by 0.6 (exp(-1/2))."""

MOST_POSES, SAME_MM = 8, 0.05
LEFT_SHARE = 0.3
"""What correction leaves over what an image loses when it is moved away and back; only a first guess."""

LEAST_OVER_NOISE = 0.15
"""Expected error over the noise of a sample from which on a curve is looked at."""

ERRORS_HU = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
GUESS_SPREAD = 1.2
"""Sizes of error that are tried in each curve, and the standard deviation of the logarithm of the guess."""

UNLIKENESS = (0.3, 1.0, 3.0, 9.0, 27.0, 81.0)
"""How much more a curve may differ from those around it than tissue does: vessels lie near bone too."""

BLOCK_MM, AROUND_MM = 4.0, 6.0
BLOCK_ROWS = 16_384
CALM_SAMPLE = 20_000


@dataclass(frozen=True, slots=True)
class _Explanation:
    """One size of error and of unlikeness: what speaks for it (`quadratic`, `constant`), and the error it makes of a curve."""

    size: float
    unlikeness: float
    quadratic: NDArray[np.float32]
    constant: float
    error: NDArray[np.float32] | None


def without_leaks(
    concentration: Concentration,
    motion: MotionReport,
    frame_times_s: FloatArray,
    other: BoolArray,
    noise_sd: float,
    *,
    gain: NDArray[np.float32] | None = None,
    overwrite: bool = False,
    progress: ProgressCallback | None = None,
) -> tuple[Concentration, int]:
    """Take out of curves what motion correction left beside steep edges of the image.

    Parameters
    ----------
    concentration : Concentration
        Enhancement of a scan whose motion was corrected, HU.
    motion : MotionReport
        The motion.
    frame_times_s : ndarray, shape (F,), s
        Times of the frames that were kept.
    other : ndarray of bool, shape (I, J, K)
        What is no tissue and says nothing about it (fluid, vessels, bone).
    noise_sd : float, HU
        Noise of a sample.
    gain : ndarray, shape (I, J, K), optional
        By how much a curve changes where the image changes by one; 1 when it is left out.
    overwrite : bool
        Change the given curves themselves, which saves their size in memory.
    progress : callable, optional
        Progress and cancelling.

    Returns
    -------
    Concentration
        With changed curves; their mean before contrast is zero.
    int
        How many curves were looked at.

    Notes
    -----
    A curve beside an edge is the mean curve of clean tissue around it, a difference like those far from edges, an error
    with the covariance ``s^2 exp(-d^2 / (2 l^2))`` of poses that lie d apart, a constant and noise; all Gaussian, as in kriging
    (Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, eq. 2.23). The size s of the error and a factor for
    the difference are averaged over, for each curve with its own likelihood; the expected error is subtracted.
    """
    report = progress or no_progress
    if not motion.applied:
        return concentration, 0
    poses = _poses(motion, frame_times_s, concentration.times_s)
    apart = _apart(poses, motion.center_mm)
    index = np.flatnonzero(concentration.mask)
    guess = LEFT_SHARE * _lost(concentration, poses, apart)[concentration.mask]
    if gain is not None:
        guess = guess * gain[concentration.mask]
    suspect = guess > LEAST_OVER_NOISE * noise_sd
    clean = ~suspect & ~other[concentration.mask]
    if not suspect.any() or clean.sum() < concentration.times_s.size:
        return concentration, 0
    report(0.2, "Remaining motion")
    curves = concentration.data.reshape(-1, concentration.times_s.size)
    if not overwrite:
        curves = curves.copy()
    around = _Around.of(curves, index, concentration, clean)
    differing = _differences(curves, index, around, np.flatnonzero(~suspect), noise_sd)  # vessels too
    explanations = list(_explanations(differing, _alike(apart), noise_sd))
    before = slice(0, max(1, concentration.baseline_frames))
    places = np.flatnonzero(suspect)
    for start in range(0, places.size, BLOCK_ROWS):
        report(0.3 + 0.7 * start / places.size, "Remaining motion")
        here = places[start : start + BLOCK_ROWS]
        rows = index[here]
        changed = curves[rows] - _expected_error(curves[rows] - around.at(here), guess[here], explanations)
        curves[rows] = changed - changed[:, before].mean(axis=1, keepdims=True)
    return replace(concentration, data=curves.reshape(concentration.data.shape)), int(suspect.sum())


def _poses(motion: MotionReport, frame_times_s: FloatArray, times_s: FloatArray) -> FloatArray:
    """Transforms (T, 4, 4) in mm from the reference to the kept frame that is nearest in time."""
    kept = [t for t in range(len(motion.translation_mm)) if t not in motion.dropped]
    nearest = np.abs(np.asarray(frame_times_s)[None] - times_s[:, None]).argmin(axis=1)
    turns = Rotation.from_rotvec(np.radians(motion.rotation_deg[kept][nearest])).as_matrix()
    poses = np.tile(np.eye(4), (len(nearest), 1, 1))
    poses[:, :3, :3] = turns
    poses[:, :3, 3] = motion.center_mm + motion.translation_mm[kept][nearest] - turns @ motion.center_mm
    return poses


def _apart(poses: FloatArray, center_mm: FloatArray) -> FloatArray:
    """Mean square distance (T, T) in mm^2 of points of the head between poses."""
    places = (HEAD_MM + center_mm) @ poses[:, :3, :3].transpose(0, 2, 1) + poses[:, None, :3, 3]
    apart = np.empty((len(poses), len(poses)))
    for row, place in zip(apart, places, strict=True):
        row[:] = ((places - place) ** 2).sum(axis=2).mean(axis=1)
    return apart


def _alike(apart: FloatArray) -> FloatArray:
    """Covariance (T, T) of errors with mean 0 over time and mean square 1."""
    kernel = np.exp(-apart / (2.0 * ALIKE_MM**2))
    kernel = kernel - kernel.mean(axis=0) - kernel.mean(axis=1)[:, None] + kernel.mean()
    scaled: FloatArray = kernel * (len(kernel) / max(float(np.trace(kernel)), 1e-9))
    return scaled


def _lost(concentration: Concentration, poses: FloatArray, apart: FloatArray) -> NDArray[np.float32]:
    """Standard deviation over time (I, J, K) of what the unenhanced image loses when it is moved away and back."""
    chosen = [int(apart.sum(axis=1).argmax())]
    while len(chosen) < MOST_POSES:
        nearest = apart[:, chosen].min(axis=1)
        if float(nearest.max()) < SAME_MM**2:
            break
        chosen.append(int(nearest.argmax()))
    weights = np.bincount(apart[:, chosen].argmin(axis=1), minlength=len(chosen)) / len(poses)
    total, square = np.zeros(concentration.mask.shape, np.float32), np.zeros(concentration.mask.shape, np.float32)
    image = concentration.baseline.astype(np.float32)
    for transform, weight in zip(voxel_transforms(list(poses[chosen]), concentration.affine), weights, strict=True):
        lost = lost_by_moving(image, transform)
        total += np.float32(weight) * lost
        square += np.float32(weight) * lost**2
    return np.asarray(np.sqrt(np.maximum(square - total**2, 0.0)))


@dataclass(frozen=True, slots=True)
class _Around:
    """Mean curves of clean tissue in blocks of a few voxels, smoothed over the neighboring ones."""

    means: NDArray[np.float32]
    block: NDArray[np.int64]

    @classmethod
    def of(cls, curves: NDArray[np.float32], index: NDArray[np.int64], concentration: Concentration, clean: BoolArray) -> _Around:
        spacing = voxel_sizes(concentration.affine)
        size = [max(1, round(BLOCK_MM / spacing[axis])) for axis in (0, 1)] + [1]
        counts = [-(-length // step) for length, step in zip(concentration.mask.shape, size, strict=True)]
        place = np.unravel_index(index, concentration.mask.shape)
        block = np.ravel_multi_index([p // step for p, step in zip(place, size, strict=True)], counts)
        rows = np.flatnonzero(clean)
        blocks = int(np.prod(counts))
        total, middle = np.zeros((blocks, curves.shape[1]), np.float32), np.zeros(curves.shape[1])
        for start in range(0, rows.size, BLOCK_ROWS):  # in parts, which keeps the working copies small
            here = rows[start : start + BLOCK_ROWS]
            part = curves[index[here]]
            gather = sparse.csr_matrix((np.ones(here.size, np.float32), (block[here], np.arange(here.size))), (blocks, here.size))
            total += gather @ part
            middle += part.sum(axis=0, dtype=np.float64) / rows.size
        number = np.bincount(block[rows], minlength=blocks).astype(np.float32).reshape(counts)
        sigma = [AROUND_MM / (step * s) for step, s in zip(size[:2], spacing[:2], strict=True)] + [0.5]
        weight = ndimage.gaussian_filter(number, sigma, truncate=3.0) + np.float32(0.05)
        smooth = ndimage.gaussian_filter(total.reshape(*counts, -1), [*sigma, 0.0], truncate=3.0) + np.float32(
            0.05
        ) * middle.astype(np.float32)
        return cls((smooth / weight[..., None]).reshape(-1, curves.shape[1]), block)

    def at(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Mean curves (n, T) around some voxels of the mask."""
        return self.means[self.block[rows]]


def _differences(
    curves: NDArray[np.float32], index: NDArray[np.int64], around: _Around, calm: NDArray[np.int64], noise_sd: float
) -> FloatArray:
    """Second moments (T, T) of how curves far from edges differ from those around them, without noise."""
    rows = calm[:: max(1, calm.size // CALM_SAMPLE)]
    differing = (curves[index[rows]] - around.at(rows)).astype(np.float64)
    differing -= differing.mean(axis=1, keepdims=True)
    count = differing.shape[1]
    moments = differing.T @ differing / len(rows) - noise_sd**2 * (np.eye(count) - 1.0 / count)
    values, vectors = np.linalg.eigh(moments)
    result: FloatArray = (vectors * np.maximum(values, 0.0)) @ vectors.T
    return result


def _explanations(differing: FloatArray, alike: FloatArray, noise_sd: float) -> Iterator[_Explanation]:
    """All sizes of error with all degrees of unlikeness."""
    count = len(alike)
    rest = noise_sd**2 * np.eye(count) + (30.0 * noise_sd) ** 2 / count
    for unlikeness in UNLIKENESS:
        for size in ERRORS_HU:
            error = size**2 * alike
            total = unlikeness**2 * differing + error + rest
            inverse = np.linalg.inv(total)
            constant = -0.5 * float(np.linalg.slogdet(total)[1]) - np.log(unlikeness)
            shrink = (inverse @ error).astype(np.float32) if size else None
            yield _Explanation(size, unlikeness, inverse.astype(np.float32), constant, shrink)


def _expected_error(
    curves: NDArray[np.float32], guess: NDArray[np.float32], explanations: list[_Explanation]
) -> NDArray[np.float32]:
    """Errors (n, T) expected in curves less those around them, with a first guess (n,) of their size."""
    centered = curves - curves.mean(axis=1, keepdims=True)
    best, total = np.full(len(curves), -np.inf), np.zeros(len(curves))
    error = np.zeros_like(centered)
    guessed = np.log(np.maximum(guess, 0.5 * ERRORS_HU[1]).astype(np.float64))
    for one in explanations:
        misfit = np.einsum("nt,nt->n", centered @ one.quadratic, centered)
        off = (np.log(max(one.size, 0.5 * ERRORS_HU[1])) - guessed) / GUESS_SPREAD
        likely = one.constant - 0.5 * (misfit + off**2)
        top = np.maximum(best, likely)
        kept, share = np.exp(best - top), np.exp(likely - top)
        error *= kept[:, None].astype(np.float32)
        if one.error is not None:
            error += share[:, None].astype(np.float32) * (centered @ one.error)
        best, total = top, total * kept + share
    return np.asarray(error / total[:, None].astype(np.float32))
