"""The instructions that a policy knows: texts, the tasks they belong to, and their embeddings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from flow_rag_vla.agents.policy.instruction_encoder import INSTRUCTION_DIM, shared_instruction_encoder

type EncodeText = Callable[[str], torch.Tensor]
"""A text to its embedding (INSTRUCTION_DIM,)."""


def _encode(text: str) -> torch.Tensor:
    return shared_instruction_encoder().encode(text)


@dataclass(frozen=True)
class _Copied:
    """What was looked up last, on another device."""

    original_rows: torch.Tensor
    embeddings: torch.Tensor
    rows: torch.Tensor


class InstructionTable:
    """Known texts as rows of one matrix, so that a fleet's instructions cost a dictionary look-up each.

    What it knows is on the CPU; ``look_up_on`` keeps a copy where it is used.  A text that it does not know is encoded
    once, and is then known, as one of the task whose text it lies nearest to.
    """

    def __init__(
        self,
        texts: Sequence[str],
        tasks: Sequence[str],
        embeddings: torch.Tensor,
        encode_text: EncodeText = _encode,
    ) -> None:
        """Know ``texts`` (k) of ``tasks`` (k names) by their ``embeddings`` (k, INSTRUCTION_DIM).

        Raises:
            ValueError: a text is given twice, or the three do not belong together.
        """
        if len(tasks) != len(texts) or embeddings.shape != (len(texts), INSTRUCTION_DIM):
            raise ValueError(
                f"instructions: got {len(texts)} texts, {len(tasks)} tasks and embeddings {tuple(embeddings.shape)}, "
                f"expected as many of each and ({len(texts)}, {INSTRUCTION_DIM})"
            )
        if len(set(texts)) != len(texts):
            raise ValueError(f"instructions: a text is given twice in {sorted(texts)}")
        self.texts, self.text_tasks = tuple(texts), tuple(tasks)
        self.embeddings = embeddings.detach().float().cpu()
        """(k, INSTRUCTION_DIM), of the texts that were given; what is learned later is not part of it."""
        self._all = self.embeddings
        self._row_of = {text: row for row, text in enumerate(texts)}
        self._task_of = list(self.text_tasks)
        self._encode_text = encode_text
        self._last: tuple[tuple[str, ...], torch.Tensor] | None = None
        self._there: _Copied | None = None

    @classmethod
    def empty(cls) -> InstructionTable:
        """A table that knows nothing, and so refuses every text."""
        return cls((), (), torch.zeros(0, INSTRUCTION_DIM))

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that have a text, each once, in order."""
        return tuple(dict.fromkeys(self.text_tasks))

    def look_up(self, instructions: tuple[str, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings (k, INSTRUCTION_DIM) of all texts known by now, and the row (n,) int64 of each instruction (n)."""
        if self._last is None or self._last[0] != instructions:
            for text in dict.fromkeys(instructions):
                if text not in self._row_of:
                    self._learn(text)
            self._last = (instructions, torch.tensor([self._row_of[text] for text in instructions], dtype=torch.long))
        return self._all, self._last[1]

    def look_up_on(self, instructions: tuple[str, ...], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """``look_up`` on ``device``; nothing crosses to it again while the instructions stay the same."""
        embeddings, rows = self.look_up(instructions)
        if embeddings.device == device:
            return embeddings, rows
        there = self._there
        # A table that has learned a text looks all rows up anew.
        if there is None or there.original_rows is not rows or there.rows.device != device:
            there = self._there = _Copied(rows, embeddings.to(device), rows.to(device))
        return there.embeddings, there.rows

    def task_of(self, text: str) -> str:
        """The task that ``text`` belongs to, or, where it was not given, whose text it lies nearest to."""
        if text not in self._row_of:
            self._learn(text)
        return self._task_of[self._row_of[text]]

    def _learn(self, text: str) -> None:
        if not self.texts:
            raise ValueError(f"instruction {text!r}: the policy knows no instructions")
        embedding = self._encode_text(text).cpu().float()
        nearest = int((self.embeddings @ embedding).argmax())
        self._row_of[text] = len(self._all)
        self._task_of.append(self.text_tasks[nearest])
        self._all = torch.cat([self._all, embedding.unsqueeze(0)])
        self._last = None
