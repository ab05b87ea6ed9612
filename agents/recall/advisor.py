"""The slow path: looks up what the failure memory advises for each observation."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import torch

from flow_rag_vla.agents.arms.arm import Placebo
from flow_rag_vla.agents.corrections.priors import late_shares, spared
from flow_rag_vla.agents.policy.encoders import RetrievalEncoder
from flow_rag_vla.agents.policy.features import none_of
from flow_rag_vla.agents.recall.advice import Advice
from flow_rag_vla.agents.recall.known_cases import KnownCases
from flow_rag_vla.agents.recall.placebos import AnswersByLot, OwnAnswers, ShuffledAnswers, WrongTypeAnswers
from flow_rag_vla.agents.recall.pooling import searchable, weighted_sum
from flow_rag_vla.agents.recall.situation import KnownSituations, Situation
from flow_rag_vla.agents.recall.uplift_rule import Choice, UpliftRule
from flow_rag_vla.memory.failure_memory import FailureMemory
from flow_rag_vla.memory.faiss_gpu import make_search
from flow_rag_vla.memory.index import NO_CASE
from flow_rag_vla.tasks.contract import NOTHING

if TYPE_CHECKING:
    from flow_rag_vla.agents.arms.arm import Arm
    from flow_rag_vla.agents.arms.settings import ArmSettings
    from flow_rag_vla.agents.policy.encoders import StateEncoder
    from flow_rag_vla.memory.device_search import CaseSearch
    from flow_rag_vla.memory.evidence.situations import Exposures
    from flow_rag_vla.memory.reader import CaseReader
    from flow_rag_vla.memory.table import CaseTable
    from flow_rag_vla.tasks.contract import Observation


class Advisor:
    """Looks similar failures up and pools what is known of their corrections.

    Where the memory has exposures and there is a ``rule``, that decides: corrections compete with doing nothing, by the
    outcomes of both in situations like the one that the episode began in; what the retrieved cases think of a
    correction is its prior.  Otherwise a candidate's score is the mean of its posterior means over the retrieved
    cases, and must reach a gate.  Cases are weighted by ``(similarity - threshold)``, so that one at the edge of being
    similar counts for little.
    Keys, search and scores stay on the device; what is known of the cases goes there once, until the memory changes.
    """

    def __init__(
        self,
        memory: CaseReader,
        encoder: StateEncoder,
        num_neighbours: int,
        gate: float,
        device: str = "cpu",
        *,
        rule: UpliftRule | None = None,
        num_situations: int = 32,
        answers: OwnAnswers | None = None,
    ) -> None:
        """Advise from ``memory`` on ``device``.

        Args:
            memory: What is known.
            encoder: Makes keys.
            num_neighbours: Cases that are pooled.
            gate: Without a rule, candidates with a score below it are not worth trying.
            device: Where observations live.
            rule: Says where a correction gains over doing nothing; None never asks.
            num_situations: Situations that are pooled.
            answers: Who answers for whom; None for each for itself.
        """
        self.memory, self._encoder = memory, encoder
        self._k, self._gate, self._device = num_neighbours, gate, device
        self._rule, self._num_situations = rule, num_situations
        self.answers = answers or OwnAnswers()
        self._search: tuple[int, CaseSearch] | None = None
        self._known: tuple[CaseTable, KnownCases] | None = None
        self._met: tuple[Exposures, KnownSituations] | None = None

    def advise(
        self,
        observation: Observation,
        asks: torch.Tensor | None = None,
        situation: Situation | None = None,
        felt: torch.Tensor | None = None,
    ) -> Advice:
        """Advice for every row of ``observation``, or only where ``asks`` (num_envs,) bool: no other is looked up.

        Args:
            observation: What is sensed.
            asks: Rows that are answered.
            situation: What the episodes began in; None for where they are now.
            felt: (num_envs,) int64 type of failure that was felt in the episode, ``NOTHING`` where none was; needs
                ``situation``.
        """
        if len(self.memory) == 0:
            return Advice.nothing(observation.num_envs, str(observation.object_rgb.device))
        if asks is None:
            rows = torch.arange(observation.num_envs, device=observation.object_rgb.device)
        else:
            # Waits for the device to say which rows ask: the others' search would cost more.
            rows = asks.nonzero().flatten()
        if len(rows) == 0:
            return Advice.nothing(observation.num_envs, str(rows.device))
        # Pictures are left where they are: no key needs them.
        keys = self._encoder.encode(dataclasses.replace(observation, rgb=None).select(rows))
        trials = self._trials(observation, situation)
        if trials is None:
            return Advice.of(rows, self._answer(keys), observation.num_envs)
        if situation is not None and felt is not None:
            # What was felt is looked up under the cue that the episode began with.
            felt = felt[rows]
            keys = torch.where((felt != NOTHING)[:, None], situation.keys[rows], keys)
        return Advice.of(rows, self._answer(keys, trials[rows], felt), observation.num_envs)

    def _trials(self, observation: Observation, situation: Situation | None) -> torch.Tensor | None:
        """(num_envs, num_choices, 2) outcomes in situations like those of the episodes; None where no rule asks."""
        if self._rule is None or not len(self.memory.exposures):
            return None
        situation = situation or Situation(self._encoder.encode(dataclasses.replace(observation, rgb=None)))
        return situation.trials_in(self._situations())

    def _answer(
        self, keys: torch.Tensor, trials: torch.Tensor | None = None, felt: torch.Tensor | None = None
    ) -> Advice:
        """Advice for each of ``keys`` (n, embedding_dim) from ``trials`` (n, num_choices, 2) or by the gate.

        Where a type of failure was ``felt`` (n,), cases of other types say nothing.
        """
        search, cases = self._up_to_date_search(), self._up_to_date_cases()
        finite, sound = searchable(keys)
        found = search.search(finite, self._k, self.memory.similarity_threshold)
        late = torch.zeros_like(sound) if felt is None else felt != NOTHING
        if none_of(found.valid):
            return dataclasses.replace(Advice.nothing(len(keys), str(keys.device)), closed=late, late=late)
        place = torch.searchsorted(cases.ids, found.case_ids)
        counts = found.valid & (cases.answering[place] != NO_CASE)
        if felt is not None:
            counts = counts & (~late[:, None] | (cases.own_type[place] == felt[:, None]))
        margin = found.similarity - self.memory.similarity_threshold + 1e-3
        weight = torch.where(counts, margin, 0.0)
        total = weight.double().sum(dim=1, keepdim=True).float().clamp(min=1e-9)
        similar = counts.any(dim=1) & sound
        considered = torch.zeros_like(similar)
        if self._rule is not None and trials is not None:
            considered = similar
            prior = weighted_sum(weight, cases.priors, place) / total.unsqueeze(2)
            choice = self._rule.choose(torch.where(similar[:, None, None], prior, 1.0), trials, late)
        else:
            score = weighted_sum(weight, cases.means, place) / total
            reliability = score.max(dim=1).values
            unknown = torch.zeros_like(reliability)
            passes = reliability >= self._gate
            choice = Choice(passes, score.argmax(dim=1), reliability, unknown, torch.zeros_like(passes))
        given = similar & choice.given
        # The first that counts: they come in the order of their similarity.
        nearest = place.gather(1, counts.int().argmax(dim=1, keepdim=True)).squeeze(1)
        advice = Advice(
            case_id=torch.where(given, cases.answering[nearest], NOTHING),
            failure_type=torch.where(given, cases.failure_type[nearest], NOTHING),
            candidate=torch.where(given, choice.candidate, NOTHING),
            reliability=torch.where(given, choice.reliability, 0.0),
            uplift=torch.where(given, choice.uplift, 0.0),
            considered=considered,
            closed=late | (considered & choice.gains),
            late=late,
        )
        lot = self.answers.of_rows(keys)
        if lot is None:
            return advice
        # What is advised moves; what was felt does not.
        drawn = Advice(*(column[lot] for column in advice.columns), needs=advice.needs)
        return dataclasses.replace(drawn, closed=advice.closed, late=advice.late)

    def _situations(self) -> KnownSituations:
        exposures = self.memory.exposures
        if self._met is None or self._met[0] is not exposures:
            answering = self.answers.of_situations(len(exposures))
            threshold = self.memory.similarity_threshold
            met = KnownSituations(exposures, self._num_situations, threshold, self._device, answering)
            self._met = exposures, met
        return self._met[1]

    def _up_to_date_search(self) -> CaseSearch:
        # Outcomes change no key: what they teach sends nothing but ``KnownCases`` to the device.
        index = self.memory.index
        if self._search is None or self._search[0] != index.version:
            self._search = index.version, make_search(index, self._device)
        return self._search[1]

    def _up_to_date_cases(self) -> KnownCases:
        table = self.memory.table
        if self._known is None or self._known[0] is not table:
            answering = self.answers.of_cases(self.memory.case_ids)
            self._known = table, KnownCases.of(self.memory, answering, self._device)
        return self._known[1]


def make_advisor(arm: Arm, memory: CaseReader, settings: ArmSettings, device: str = "cpu") -> Advisor:
    """The voice of ``memory`` as ``arm`` hears it."""
    agent = settings.agent
    answers = None
    rng = np.random.Generator(np.random.Philox(key=settings.seed))
    if arm.placebo is Placebo.SHUFFLED:
        answers = ShuffledAnswers(memory.case_ids, rng)
    elif arm.placebo is Placebo.WRONG_TYPE:
        answers = WrongTypeAnswers(memory.case_ids, memory.failure_types(memory.case_ids), rng)
    elif arm.placebo is Placebo.RANDOM_TRIGGER:
        answers = AnswersByLot(settings.seed)
    elif arm.placebo is Placebo.EMPTY:
        memory = FailureMemory(memory.embedding_dim, horizon=memory.horizon, num_candidates=memory.num_candidates)
    rule = UpliftRule(agent.uplift_threshold, agent.caution, late_shares(), spared(settings.task))
    return Advisor(
        memory,
        RetrievalEncoder(device=device),
        agent.num_neighbours,
        agent.confidence_gate,
        device,
        rule=rule if arm.weighs_doing_nothing else None,
        num_situations=agent.num_situations,
        answers=answers,
    )
