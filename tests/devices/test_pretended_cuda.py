"""The pretence itself: what CUDA would refuse is refused, and what crosses on purpose crosses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from pretended_cuda import pretended_cuda

MIXED: dict[str, Callable[[torch.Tensor, torch.Tensor], object]] = {
    "added": lambda here, there: here + there,
    "joined": lambda here, there: torch.cat([here, there]),
    "chosen": lambda here, there: torch.where(there > 0, here, there),
    "multiplied": lambda here, there: here.unsqueeze(0) @ there.unsqueeze(1),
    "looked up by a mask of the other device": lambda here, there: here[there > 0],
    "looked up by rows of the other device": lambda here, there: here[there.long()],
    "written in place": lambda here, there: there.index_put_((there.long(),), here),
    "read as numpy": lambda here, there: np.asarray(there),
}


@pytest.mark.parametrize("mix", MIXED.values(), ids=MIXED)
def test_what_cuda_refuses_is_refused(mix: Callable[[torch.Tensor, torch.Tensor], object]):
    with pretended_cuda(answer=True), pytest.raises((RuntimeError, TypeError), match="cuda"):
        mix(torch.zeros(3), torch.zeros(3, device="cuda"))


def test_what_cuda_takes_from_the_cpu_is_taken():
    with pretended_cuda(answer=True):
        there = torch.zeros(3, device="cuda")
        assert str((there + torch.tensor(1.0)).device) == "cuda:0"
        assert str(there[torch.arange(2)].device) == "cuda:0"
        assert str(torch.zeros(3).to(there).device) == "cuda:0"
        assert there.cpu().numpy().shape == (3,)
        assert np.linalg.norm(there.cpu().numpy()) == pytest.approx(1.0)


@pytest.mark.parametrize("answer", [True, False])
def test_every_question_gets_the_answer(answer: bool):
    with pretended_cuda(answer=answer):
        there = torch.zeros(3, device="cuda")
        assert bool((there > 0).any()) is answer
        assert bool((there > 0).all()) is True
        assert int(there.long().sum()) == float(there.sum()) == answer
        assert there.nonzero().shape == (3 * answer, 1)
        assert there.long().tolist() == [int(answer)] * 3
