"""Settings, latency and the command line: what a typo gets told."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from flow_rag_vla.agents.arms.settings import AgentSettings
from flow_rag_vla.agents.detection.checkpoint import DEFAULT_DETECTOR
from flow_rag_vla.agents.files.file_hash import file_sha256
from flow_rag_vla.agents.policy.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint
from flow_rag_vla.agents.policy.demonstration_bank import bank_path
from flow_rag_vla.agents.policy.flow_matching import FlowMatching, FlowMatchingCfg
from flow_rag_vla.agents.policy.velocity_network import VelocityNetworkCfg
from flow_rag_vla.agents.vision.checkpoint import DEFAULT_VISION
from flow_rag_vla.benchmark.command.errors import UsageError
from flow_rag_vla.benchmark.command.ranges import range_of
from flow_rag_vla.benchmark.episodes.actors import arm_settings, default_arm_settings
from flow_rag_vla.benchmark.episodes.latency import LatencyProfile, parse_latency
from flow_rag_vla.benchmark.run.cli import main
from flow_rag_vla.benchmark.run.config import compose_settings
from flow_rag_vla.benchmark.run.resume import reopened
from flow_rag_vla.benchmark.run.run import load_networks
from flow_rag_vla.benchmark.run.run_plan import plan_run, resolve_settings, with_policy_defaults


def test_overrides_reach_nested_settings():
    settings = compose_settings(["agent.execute=4", "num_envs=32", "ablation=all"])
    assert (settings.agent.execute, settings.num_envs) == (4, 32)
    assert settings.arms == ("flow_only", "rag_only", "sequential", "parallel")


def test_the_allowed_harm_is_in_points_and_has_the_range_of_the_calibrations():
    assert compose_settings([]).agent.max_harm == 2.0
    assert compose_settings(["agent.max_harm=0.5"]).agent.max_harm == 0.5
    assert str(range_of("agent.max_harm")) == str(range_of("max_harm")) == "more than 0.0 and less than 100.0"


def test_steps_and_chunk_are_the_policys_own_unless_given():
    cfg = FlowMatchingCfg(VelocityNetworkCfg(horizon=4, hidden_dim=16, num_layers=1), ode_steps=3)
    policy = dataclasses.replace(load_checkpoint(DEFAULT_CHECKPOINT), flow=FlowMatching(cfg))
    given = compose_settings(["agent.ode_steps=7", "agent.execute=2"])
    for settings, expected in ((compose_settings([]), (3, 4)), (given, (7, 2))):
        agent = with_policy_defaults(settings, policy).agent
        assert (agent.ode_steps, agent.execute) == expected
    assert default_arm_settings(4, "lift").agent.execute == 4
    assert default_arm_settings(16, "lift").agent.execute == 8
    with pytest.raises(ValueError, match="execute is 5, expected at most the policy's horizon of 4"):
        with_policy_defaults(compose_settings(["agent.execute=5"]), policy)


@pytest.mark.parametrize("name", ["FlowRAG-BinTransport-Franka", "bin_transport"])
def test_arms_are_built_for_a_task_by_its_short_name_whichever_it_is_given(name: str):
    assert arm_settings(AgentSettings(), 8, name).task == default_arm_settings(8, name).task == "bin_transport"


def test_an_arm_for_a_task_that_does_not_exist_is_refused():
    with pytest.raises(KeyError, match="unknown task 'folding'; available: "):
        arm_settings(AgentSettings(), 8, "folding")


def test_a_runs_arms_and_its_probe_are_built_for_the_runs_task(start_fake: Callable[..., Path]):
    run = reopened(str(start_fake("task=stack")))
    assert run.arm_settings(LatencyProfile({})).task == "stack"


@pytest.mark.parametrize(
    ("overrides", "files"),
    [
        ([], {"policy_sha256": DEFAULT_CHECKPOINT}),
        (["obs=rgb"], {"policy_sha256": DEFAULT_CHECKPOINT, "vision_sha256": DEFAULT_VISION}),
        *(
            ([f"ablation={arm}"], {"policy_sha256": DEFAULT_CHECKPOINT, "bank_sha256": bank_path(DEFAULT_CHECKPOINT)})
            for arm in ("rag_only", "success_memory")
        ),
        (["detector=learned"], {"policy_sha256": DEFAULT_CHECKPOINT, "detector_sha256": DEFAULT_DETECTOR}),
    ],
)
def test_a_runs_record_names_every_network_that_decides(overrides, files):
    networks = load_networks(compose_settings([*overrides, "device=cpu"]))
    assert networks.sha256 == {name: file_sha256(path) for name, path in files.items()}


def test_the_rules_notice_failures_unless_told_otherwise():
    assert [compose_settings(o).detector for o in ([], ["detector=learned"])] == ["rules", "learned"]


def test_flow_only_always_runs_first():
    assert compose_settings(["ablation='expert,parallel'"]).arms == ("flow_only", "expert", "parallel")


def test_spaces_around_the_commas_of_a_list_of_arms_do_not_count():
    settings = compose_settings(["ablation=' parallel ,  rag_only'"])
    assert (settings.ablation, settings.arms) == ("parallel,rag_only", ("flow_only", "parallel", "rag_only"))


def test_exposures_are_all_but_far_or_those_that_are_named_and_full_has_every_one():
    met = [compose_settings(o).met_again for o in ([], ["ablation=full"], ["exposures=' control , near'"])]
    assert met == [
        ("exact", "near", "clean", "control"),
        ("exact", "near", "far", "clean", "control"),
        ("near", "control"),
    ]
    assert compose_settings(["exposures=' control , near,near'"]).exposures == "near,control"


def test_more_layouts_than_a_seed_offers_are_refused_before_any_is_planned():
    settings = resolve_settings(
        compose_settings(["exposures='near,far'", "scenarios=600000", "rounds=1", "device=cpu"])
    )
    with pytest.raises(ValueError, match=r"^600000 scenarios need as many layouts and as many new ones in each of 1 r"):
        plan_run(settings)


@pytest.mark.parametrize("key", ["out", "checkpoint", "vision", "ablation", "latency", "device"])
def test_an_empty_text_stands_for_nothing(key):
    with pytest.raises(ValueError, match=f"^{key} is '', expected a text that is not empty$"):
        compose_settings([f"{key}="])


def test_a_setting_is_given_once_and_the_help_says_so(capsys):
    with pytest.raises(ValueError, match=r"^seed is given twice, seed=1 and seed=2; give it once, "):
        compose_settings(["seed=1", "seed=2"])
    with pytest.raises(SystemExit):
        main(["--help"], NoReports())
    assert "Every setting is given once: as a flag or as key=value, not both." in " ".join(
        capsys.readouterr().out.split()
    )


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("ablation=parralel", "unknown arm 'parralel'; available: .*parallel"),
        ("exposures='near,new'", "unknown exposure 'new'; available: exact, near, far, clean, control"),
        ("task=Isaac-Lift", "unknown task 'Isaac-Lift'; available: pick_place .FlowRAG-PickPlace-Franka"),
        ("physics=bullet", "unknown physics 'bullet'; available: .*newton_mujoco"),
        ("detector=oracles", "unknown detector 'oracles'; available: rules, learned"),
        ("obs=lidar", "unknown obs .lidar.; available: state, rgb"),
        ("vision_async=true", "vision_async looks at pictures, got obs=state; expected obs=rgb"),
        ("num_envs=0", "num_envs is 0, expected 1 to 262144"),
        ("num_env=5", "num_env"),
        ("num_envs=many", "many"),
        ("+new=1", "expected key=value"),
    ],
)
def test_bad_settings_are_one_line(override, complaint):
    with pytest.raises(ValueError, match=complaint) as caught:
        compose_settings([override])
    assert "\n" not in str(caught.value)


def test_the_guides_latencies():
    profile = parse_latency("seed", ("flow_only", "parallel"))
    assert [profile.of(a) for a in ("flow_only", "rag_only", "sequential", "parallel")] == [20, 100, 120, 25]
    assert (profile.flow_ms, profile.retrieval_ms) == (20, 100)


def test_latency_off_is_no_latency():
    assert parse_latency("off", ("flow_only",)).of("flow_only") == 0.0


def test_one_number_holds_for_all_arms_and_pairs_for_their_own():
    assert parse_latency("40", ("flow_only", "parallel")).of("parallel") == 40.0
    profile = parse_latency("parallel=66.7,flow_only=33", ("flow_only", "parallel"))
    assert (profile.of("parallel"), profile.of("flow_only")) == (66.7, 33.0)


@pytest.mark.parametrize("text", ["soon", "-5", "99999", "expert=3", "parallel=x"])
def test_bad_latencies_are_refused(text):
    with pytest.raises(UsageError):
        parse_latency(text, ("flow_only", "parallel"))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--ablation", "nonsense"], "unknown arm 'nonsense'"),
        (["--num_envs", "0"], "num_envs is 0"),
        (["--bogus"], "--bogus"),
        (["--checkpoint", "no/such/file"], "no such file"),
        (["--out", "/proc/nowhere"], "cannot write to --out"),
        (["agent.execute=17"], "execute is 17, expected at most the policy's horizon of 16"),
        (["--device", "tpu"], "unknown device 'tpu'"),
        (["--resume", "no/such/run"], "it is no run directory"),
        (["notakey"], "notakey"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(arguments, complaint, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    try:
        code = main(arguments, NoReports())
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    assert complaint in capsys.readouterr().err.strip().splitlines()[-1]
    assert not list(tmp_path.iterdir())


class NoReports:
    """Bad usage never gets as far as a report."""

    def build(self, run_dir: Path) -> Path:
        raise AssertionError(run_dir)

    def table(self, run_dir: Path) -> str:
        raise AssertionError(run_dir)


def test_an_arm_without_a_stand_in_takes_its_own_latency_or_the_references_and_the_expert_none():
    profile = parse_latency("flow_only=20,always_cautious=30", ("flow_only", "always_cautious", "sequential", "expert"))
    assert [profile.of(arm) for arm in ("always_cautious", "sequential", "expert")] == [30.0, 20.0, 0.0]


def test_who_looks_demonstrations_up_first_pays_for_it_and_who_is_told_decides_as_parallel_does():
    guide = parse_latency("seed", ())
    expected = {"success_memory": 120.0, "parallel_oracle": 25.0, "parallel_wrong_type": 25.0, "zero": 20.0}
    assert {arm: guide.of(arm) for arm in expected} == expected
