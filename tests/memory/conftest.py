"""Small hand-made cases in a four-dimensional embedding space."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from flow_rag_vla.memory.case import FailureCase

EAST = (1.0, 0.0, 0.0, 0.0)


@pytest.fixture
def make_case() -> Callable[..., FailureCase]:
    """A maker of cases: a failed grasp with two candidates unless told otherwise."""

    def make(*keys: tuple[float, ...], grip: float = 0.25, **changes: Any) -> FailureCase:
        fields: dict[str, Any] = {
            "key_states": np.array(keys or (EAST,), dtype=np.float32),
            "failed_action": np.full((1, 7), grip, dtype=np.float32),
            "failure_type": "grasp_failure",
            "correction": np.full((1, 7), 1.3 * grip, dtype=np.float32),
            "phase": "lift",
            "region": "0,0",
            "prior": np.array([[2.0, 1.0], [1.0, 1.0]], dtype=np.float32),
        }
        return FailureCase(**(fields | changes))

    return make
