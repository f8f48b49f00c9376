"""What is determined in the results of PyTorch's operators: the reference in their place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as tf

Tensor = torch.Tensor


def eigh(a: Tensor, UPLO: str = "L") -> list[Tensor]:
    """Eigenvalues of a + a^T, the squares of the vectors' elements, and what both make together.

    A vector is known up to its sign; with a + a^T it does not matter which triangle is read.
    """
    values, vectors = torch.linalg.eigh(a + a.mT, UPLO=UPLO)
    return [values, vectors * vectors, (vectors * torch.tanh(values)[..., None, :]) @ vectors.mT]


def svd(a: Tensor, full_matrices: bool = True) -> list[Tensor]:
    """Singular values, squares of the vectors' elements, u v^T, and the spaces left over.

    A pair of vectors is known up to a common sign; of those that complete a basis only the space
    that they span is. Its projection is I - u u^T: PyTorch differentiates u alone.
    """
    u, s, vh = torch.linalg.svd(a, full_matrices=False)
    found = [s, u * u, vh * vh, u @ vh]
    if not full_matrices:
        return found
    rest_u = torch.eye(u.shape[-2], dtype=a.dtype) - u @ u.mT
    rest_v = torch.eye(vh.shape[-1], dtype=a.dtype) - vh.mT @ vh
    return [*found, rest_u, rest_v]


def lstsq(a: Tensor, b: Tensor, driver: str | None = None) -> list[Tensor]:
    """The solution; residuals, rank and singular values are there for some drivers only."""
    return [torch.linalg.lstsq(a, b, driver=driver).solution]


def multi_head_attention(*args: Any, **more: Any) -> list[Tensor]:
    """The call without dropout (its eleventh argument): two libraries draw two masks."""
    kept = (*args[:10], 0.0, *args[11:])
    return list(tf.multi_head_attention_forward(*kept, **more))


def cholesky(a: Tensor, upper: bool = False) -> list[Tensor]:
    """The factor of (a + a^T) / 2, which is what dlc gives: PyTorch reads one triangle."""
    return [torch.linalg.cholesky((a + a.mT) * 0.5, upper=upper)]


def ctc_loss(log_probs: Tensor, *args: Any, **more: Any) -> list[Tensor]:
    """The loss of logits, which dlc takes; PyTorch's gradient holds for probabilities alone."""
    return [tf.ctc_loss(tf.log_softmax(log_probs, -1), *args, **more)]


UNIQUE: dict[str, Callable[..., list[Tensor]]] = {
    "cholesky": cholesky, "linalg.cholesky": cholesky, "linalg.eigh": eigh,
    "linalg.svd": svd, "linalg.lstsq": lstsq, "nn.functional.ctc_loss": ctc_loss,
    "linalg.lstsq/grad_oriented": lstsq,
    "nn.functional.multi_head_attention_forward": multi_head_attention,
}
