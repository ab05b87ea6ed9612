"""Some faults are certified anew; what was shown about the others stays."""

from __future__ import annotations

import json

import pytest

from flow_rag_vla.benchmark.certification.certificate import SCHEMA_VERSION, load_certificate, write_certificate
from flow_rag_vla.benchmark.certification.certify import STRATEGIES, engine_versions
from flow_rag_vla.benchmark.certification.renewal import certificate_to_renew, renewed
from flow_rag_vla.tasks.facts.contact_parameters import world_description

SIZES = {"n": 4, "dose_n": 2, "grid_n": 1, "time_step_n": 0}
FIRST, SECOND = str(STRATEGIES[0]), str(STRATEGIES[1])


def certificate(solved: dict[str, list[str]], **faults: str) -> dict:
    """Of pick-and-place; each of ``faults`` says a word instead of its entry."""
    return {
        "schema_version": SCHEMA_VERSION,
        "task": "FlowRAG-PickPlace-Franka",
        "physics": "newton_mujoco",
        "versions": engine_versions(),
        **world_description(),
        **SIZES,
        "faults": faults,
        "constant_strategies": {str(strategy): solved.get(str(strategy), []) for strategy in STRATEGIES},
        "worst_site": None,
    }


def test_what_is_certified_anew_replaces_its_entry_and_its_strategies_and_nothing_else():
    old = certificate({FIRST: ["beam", "post"], SECOND: ["post"]}, beam="old", post="old", push="old")
    new = certificate({SECOND: ["beam", "push"]}, beam="new", post="empty", push="empty")

    both = renewed(old, new, ["beam"])

    assert both["faults"] == {"beam": "new", "post": "old", "push": "old"}
    assert (both["constant_strategies"][FIRST], both["constant_strategies"][SECOND]) == (["post"], ["beam", "post"])
    assert both["worst_site"]["share"] > 0, "counted over both"
    assert renewed({**old, "grid_n": 0}, new, ["beam"])["worst_site"] is None


def test_a_certificate_made_alike_can_be_renewed_also_after_a_trip_through_its_file(tmp_path):
    write_certificate(certificate({}, beam="old"), tmp_path)
    kept = certificate_to_renew("pick_place", "newton_mujoco", tmp_path, ["beam"], SIZES)
    assert kept == load_certificate("pick_place", "newton_mujoco", tmp_path)


def test_what_was_made_otherwise_or_is_not_there_cannot_be_renewed(tmp_path):
    def refusal(faults: list[str], **sizes: int) -> str:
        with pytest.raises(ValueError, match=r".") as error:
            certificate_to_renew("pick_place", "newton_mujoco", tmp_path, faults, {**SIZES, **sizes})
        return str(error.value)

    assert "is not there; certify all faults first" in refusal(["beam"])
    path = write_certificate(certificate({}), tmp_path)
    assert "fault 'raised_rim' is not offered by pick_place; available:" in refusal(["raised_rim"])
    assert "was made with n 4, got 256" in refusal(["beam"], n=256)
    assert refusal(["action_hold"], dose_n=0).startswith("action_hold: only severities say something of these")
    softer = json.loads(path.read_text())
    softer["contacts"]["cone"] = "pyramidal"
    path.write_text(json.dumps(softer))
    assert "was made with contacts" in refusal(["beam"])
    path.write_text(json.dumps({name: value for name, value in certificate({}).items() if name != "motion"}))
    assert "was made with motion None" in refusal(["beam"])
