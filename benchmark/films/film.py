"""Films episodes as they run: captioned frames into a video, stills of what matters beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import imageio.v3 as iio

from flow_rag_vla.agents.corrections.corrections import CANDIDATES
from flow_rag_vla.benchmark.films.captions import Caption, Tone, add_caption
from flow_rag_vla.tasks.contract import CONTROL_HZ, NOTHING

if TYPE_CHECKING:
    import numpy as np

    from flow_rag_vla.agents.agent import Agent
    from flow_rag_vla.benchmark.films.video import Video
    from flow_rag_vla.tasks.contract import EpisodeTruth
    from flow_rag_vla.tasks.films.filming import Studio

STEPS_A_FRAME = 2
"""Control steps between frames: 15 frames a second show motion at its true speed."""

FRAMES_PER_S = CONTROL_HZ / STEPS_A_FRAME

_FASTER_AFTER_FAILURE = 2
"""From the failure on, this many times faster: what is left is seldom more than trying again."""

_EVENT_HOLD_FRAMES, _END_HOLD_FRAMES = 12, 24
"""How long the picture stands still at the failure and at the end of an episode."""


def event_of(truth: EpisodeTruth) -> tuple[str, Tone]:
    """What has happened in the first environment so far, in words, and what it means; empty while nothing has."""
    words = truth.rows()[0]
    if words.invalid:
        return "invalid physics", Tone.FAILURE
    if words.success:
        return "success", Tone.SUCCESS
    if words.failure_type is not None:
        return f"{words.failure_type.replace('_', ' ')} ({words.failure_phase})", Tone.FAILURE
    return ("the hazard acts", Tone.HAZARD) if words.fault_fired else ("", Tone.HAZARD)


class EpisodeFilm:
    """Takes one episode of the studio's environment; ``on_step`` follows every control step."""

    def __init__(self, studio: Studio, agent: Agent, video: Video, title: str, attempt: int, stills: Path) -> None:
        """Film ``agent``; its stills are ``stills`` with ``-failure.png`` and ``-end.png`` added."""
        self._studio, self._agent, self._video = studio, agent, video
        self._title, self._attempt, self._stills = title, attempt, stills
        self._failed = False
        self.event = ""
        """What has come of the episode so far."""

    def on_step(self, ended: int) -> None:
        """Take the pictures of this control step; ``ended`` is 1 when the episode is over."""
        truth = self._studio.env.truth
        step = int(truth.steps[0])
        fails = not self._failed and int(truth.failure_step[0]) != NOTHING
        faster = _FASTER_AFTER_FAILURE if self._failed else 1
        self._failed |= fails
        if step % (STEPS_A_FRAME * faster) and not fails and not ended:
            return
        self.event, tone = event_of(truth)
        speed = f" · {faster}x speed" if faster > 1 else ""
        caption = Caption(self._title, self._status(step) + speed, self.event, tone)
        frame = add_caption(self._studio.frame(), caption)
        if fails:
            self._still(frame, "failure")
        if ended:
            self._still(frame, "end")
        self._video.append(frame, _END_HOLD_FRAMES if ended else _EVENT_HOLD_FRAMES if fails else 1)

    def _status(self, step: int) -> str:
        status = f"attempt {self._attempt + 1} · step {step} · {step / CONTROL_HZ:.1f} s"
        candidate = int(self._agent.notes().candidate[0])
        return status if candidate == NOTHING else f"{status} · memory advises {CANDIDATES[candidate].name}"

    def _still(self, frame: np.ndarray, moment: str) -> None:
        iio.imwrite(self._stills.with_name(f"{self._stills.name}-{moment}.png"), frame)
