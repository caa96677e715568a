# SPDX-License-Identifier: Apache-2.0
"""The most probable maps of a whole scan: Gauss-Newton on all voxels at once with edge-preserving smoothness.

Needs PyTorch; the same code runs on CPU and GPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from .manifold import Manifold
from .mesh import Mesh
from .row_blocks import for_rows

Tensor = Any

CPU_ROWS, GPU_ROWS = 8192, 262144
LARGEST_STEP = (0.7, 2.0, 0.5)
"""Of ln CBV, centre time in s and ln MTT in one outer step: the surface is curved."""

FLOOR = 1e-4
"""Added to the diagonal so that voxels that nothing is known about stay where they are."""


@dataclass(frozen=True, slots=True)
class Prior:
    """What is known before looking at a curve.

    Parameters
    ----------
    strength, scale : tuple of float
        Smoothness of ln CBV, centre time (s) and ln MTT: ``strength (sqrt(1 + (difference / scale)^2) - 1)`` per edge.
    typical_mtt_s, mtt_spread : float
        Log-normal prior of the transit time: median, and standard deviation of its logarithm.
    early_sd_s : float, s
        How far an arrival may well lie before that of the arterial input.
    outliers : float
        Degrees of freedom of the Student distribution of misfits; 0 for Gaussian.
    least_volume : float
        Lower bound of the blood volume (share of tissue).
    """

    strength: tuple[float, float, float]
    scale: tuple[float, float, float]
    typical_mtt_s: float
    mtt_spread: float
    early_sd_s: float
    outliers: float
    least_volume: float
    edge_power: float = 1.0


@dataclass(slots=True)
class Quadratic:
    """A quadratic model of the objective around the present parameters.

    Parameters
    ----------
    blocks : tensor, shape (6, size)
        Data and voxel priors: 00, 10, 11, 20, 21, 22.
    slope : tensor, shape (3, size)
        Negative gradient, smoothness included.
    edges : tensor, shape (3, 3, size)
        Weight of the edge along each axis, by parameter.
    ties : tensor, shape (3, size)
        Sum of the weights of a voxel's edges.
    objective, misfit : float
        Value of the objective, and its part that is data.
    """

    blocks: Tensor
    slope: Tensor
    edges: Tensor
    ties: Tensor
    objective: float
    misfit: float


class SpatialProblem:
    """One scan to be fitted.

    Parameters
    ----------
    manifold : Manifold
        The surface of responses.
    mesh : Mesh
        Voxels and their neighbors.
    few : tensor, shape (N, rank)
        Projected curves.
    variance : tensor, shape (N,)
        Noise variance of a projected number.
    prior : Prior
        Smoothness and voxel priors.
    relaxed : tensor, shape (3, size), optional
        Factor of the edges of ln CBV along each axis, below 1 where a static image has an edge.
    """

    def __init__(
        self, manifold: Manifold, mesh: Mesh, few: Tensor, variance: Tensor, prior: Prior, relaxed: Tensor | None = None
    ) -> None:
        self.manifold, self.mesh, self.few, self.variance, self.prior, self.relaxed = (
            manifold,
            mesh,
            few,
            variance,
            prior,
            relaxed,
        )

    def _data(self, theta: Tensor) -> tuple[Tensor, Tensor, float]:
        """Normal blocks and slope of data and voxel priors at parameters of shape (3, N), and their value."""
        count = theta.shape[1]
        blocks = torch.empty((6, count), dtype=torch.float32, device=theta.device)
        slope = torch.empty((3, count), dtype=torch.float32, device=theta.device)
        value = torch.zeros(count, dtype=torch.float32, device=theta.device)
        nu, rank = self.prior.outliers, self.manifold.rank

        def work(here: slice) -> None:
            normal, descent, misfit = self.manifold.explain(self.few[here], theta[:, here])
            precision = 1.0 / self.variance[here]
            chi = misfit * precision
            if nu > 0:
                precision = precision * ((nu + rank) / (nu + chi))
                chi = (nu + rank) * torch.log1p(chi / nu)
            blocks[:, here], slope[:, here], value[here] = normal * precision, descent * precision, chi

        for_rows(count, self.manifold.rows(CPU_ROWS, GPU_ROWS), theta.device, work)
        return blocks, slope, 0.5 * float(value.sum(dtype=torch.float64))

    def _voxel_priors(self, theta: Tensor, blocks: Tensor, slope: Tensor) -> float:
        """Add the priors of transit time and arrival, in place; return their value."""
        prior, share = self.prior, self.manifold.centre_share
        off = theta[2] - math.log(prior.typical_mtt_s)
        weight = 1.0 / prior.mtt_spread**2
        blocks[5] += weight
        slope[2] -= weight * off
        value = 0.5 * weight * float(off.square().sum(dtype=torch.float64))
        half = share * theta[2].exp()
        early = (theta[1] - half).clamp_max(0.0)
        pull = (early < 0).float() / prior.early_sd_s**2
        blocks[2] += pull
        blocks[4] -= pull * half
        blocks[5] += pull * half.square()
        slope[1] -= pull * early
        slope[2] += pull * half * early
        return value + 0.5 * float((pull * early.square()).sum(dtype=torch.float64))

    def quadratic(self, theta: Tensor) -> Quadratic:
        """Approximate the objective around parameters on the line, shape (3, size)."""
        mesh = self.mesh
        at = mesh.gather(theta)
        blocks, slope, misfit = self._data(at)
        value = misfit + self._voxel_priors(at, blocks, slope)
        line_blocks, line_slope, ties = mesh.scatter(blocks), mesh.scatter(slope), torch.zeros_like(theta)
        del at, blocks, slope  # here memory is at its peak; that is also why edges are made of one parameter at a time
        edges = torch.zeros((3, *theta.shape), dtype=torch.float32, device=theta.device)
        power = self.prior.edge_power
        for axis, step in enumerate(mesh.steps):
            for name, (strength, scale) in enumerate(zip(self.prior.strength, self.prior.scale, strict=True)):
                weight = mesh.linked[axis, :-step] * strength
                if self.relaxed is not None and name == 0:
                    weight *= self.relaxed[axis, :-step]
                difference = mesh.differences(theta[name, None], axis)[0]
                bent = 1.0 + (difference / scale).square()
                energy = (bent.pow(0.5 * power) - 1.0) / power if power > 0 else 0.5 * bent.log()
                value += float((weight * energy).sum(dtype=torch.float64))
                weight *= bent.pow(0.5 * power - 1.0) / scale**2
                edges[axis, name, :-step] = weight
                flow = weight * difference
                line_slope[name, :-step] += flow
                line_slope[name, step:] -= flow
                ties[name, :-step] += weight
                ties[name, step:] += weight
        return Quadratic(line_blocks, line_slope, edges, ties, value, misfit)

    def step(self, model: Quadratic, iterations: int) -> Tensor:
        """Solve for the step to the minimum of the quadratic model by conjugate gradients.

        The unknowns are scaled by the Cholesky factors of the voxels' own 3 x 3 blocks, which is block-Jacobi preconditioning
        without a further product per iteration.
        """
        inverse = lower_inverse(model.blocks, model.ties)
        right = down(inverse, model.slope, torch.empty_like(model.slope))
        solution, residual, direction = torch.zeros_like(right), right, right.clone()
        product, total = torch.empty_like(right), torch.empty_like(right)  # memory of a scan's size is made once
        square = (residual * residual).sum()
        for _ in range(iterations):
            up(inverse, direction, product)
            down(inverse, self._neighbors(model.edges, product, total), product)
            torch.sub(direction, product, out=product)
            length = square / torch.mul(direction, product, out=total).sum().clamp_min(1e-30)
            solution.add_(torch.mul(direction, length, out=total))
            residual.sub_(product.mul_(length))
            before, square = square, torch.mul(residual, residual, out=total).sum()
            direction.mul_(square / before.clamp_min(1e-30)).add_(residual)
        return up(inverse, solution, product)

    def _neighbors(self, edges: Tensor, line: Tensor, total: Tensor) -> Tensor:
        """Sum of the neighbors weighted by their edges, written to `total`."""
        total.zero_()
        for axis, step in enumerate(self.mesh.steps):
            weight = edges[axis, :, :-step]
            total[:, :-step].addcmul_(weight, line[:, step:])
            total[:, step:].addcmul_(weight, line[:, :-step])
        return total


def lower_inverse(blocks: Tensor, ties: Tensor) -> Tensor:
    """Invert the Cholesky factors of the voxels' blocks.

    Parameters
    ----------
    blocks : tensor, shape (6, size)
        Lower triangles 00, 10, 11, 20, 21, 22.
    ties : tensor, shape (3, size)
        Added to the diagonals.

    Returns
    -------
    tensor, shape (6, size)
        Lower triangles of the inverse factors, in the same order.
    """
    a, b, c, d, e, f = (blocks[n] for n in range(6))
    one = 1.0 / (a + ties[0] + FLOOR).sqrt()
    b, d = b * one, d * one
    two = 1.0 / (c + ties[1] + FLOOR - b * b).clamp_min(FLOOR).sqrt()
    e = (e - d * b) * two
    three = 1.0 / (f + ties[2] + FLOOR - d * d - e * e).clamp_min(FLOOR).sqrt()
    low = -b * one * two
    return torch.stack([one, low, two, -(d * one + e * low) * three, -e * two * three, three])


def down(inverse: Tensor, line: Tensor, out: Tensor) -> Tensor:
    """Apply the inverse factors; the result is written to `out`."""
    x, y, z = line
    a, b, c, d, e, f = inverse
    torch.mul(a, x, out=out[0])
    torch.mul(b, x, out=out[1]).addcmul_(c, y)
    torch.mul(d, x, out=out[2]).addcmul_(e, y).addcmul_(f, z)
    return out


def up(inverse: Tensor, line: Tensor, out: Tensor) -> Tensor:
    """Apply the transposed inverse factors; the result is written to `out`."""
    x, y, z = line
    a, b, c, d, e, f = inverse
    torch.mul(a, x, out=out[0]).addcmul_(b, y).addcmul_(d, z)
    torch.mul(c, y, out=out[1]).addcmul_(e, z)
    torch.mul(f, z, out=out[2])
    return out


Look = Callable[[int, Quadratic, Tensor], None]


def minimise(problem: SpatialProblem, theta: Tensor, outer: int, inner: int, look: Look) -> tuple[Tensor, Quadratic]:
    """Find the most probable parameters.

    Parameters
    ----------
    problem : SpatialProblem
        The scan.
    theta : tensor, shape (3, size)
        Start, on the line of the mesh.
    outer, inner : int
        Gauss-Newton steps, and conjugate gradients in each.
    look : callable
        Called with the number, the model and the parameters before every step; may raise to stop.

    Returns
    -------
    theta : tensor, shape (3, size)
        Parameters.
    model : Quadratic
        Around them.
    """
    largest = torch.tensor(LARGEST_STEP, device=theta.device)[:, None]
    mesh, share = problem.mesh, 1.0
    model = problem.quadratic(theta)
    for number in range(outer):
        look(number, model, theta)
        move = torch.maximum(torch.minimum(problem.step(model, inner), largest), -largest)
        before = model.objective
        del model  # two at once would be the peak of memory; one that has to be made again is rare
        while True:
            trial = theta.clone()
            trial[:, mesh.index] = problem.manifold.bounded(mesh.gather(theta + share * move), problem.prior.least_volume)
            model = problem.quadratic(trial)
            if model.objective <= before or share < 0.2:
                break
            share *= 0.5
            del model
        share = min(1.0, 1.5 * share)
        if model.objective > before:
            del model
            model = problem.quadratic(theta)
            break
        theta = trial
    look(outer, model, theta)
    return theta, model
