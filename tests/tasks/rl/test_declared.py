"""`isaaclab train ... agent.nonsense=3`: a setting that nobody has declared is refused, wherever it is put."""

from __future__ import annotations

import operator
import subprocess
import sys

import pytest

pytest.importorskip("isaaclab_tasks")

import flow_rag_vla.tasks  # noqa: F401  (registers the gym ids)
from flow_rag_vla.tasks.catalogue.registry import all_tasks

TASK = "FlowRAG-Lift-Franka"


def configured(*overrides: str):
    """Environment's and runner's configuration as ``isaaclab train`` composes them."""
    from isaaclab_rl.rsl_rl import check_rsl_rl_version, handle_deprecated_rsl_rl_cfg
    from isaaclab_tasks.utils.hydra import register_task

    env, agent, rest = register_task(TASK, "rsl_rl_cfg_entry_point", overrides=list(overrides))
    assert not rest
    handle_deprecated_rsl_rl_cfg(agent, check_rsl_rl_version())
    env.validate()
    return env, agent


def test_declared_settings_are_taken_wherever_they_are():
    env, agent = configured("agent.max_iterations=3", "agent.algorithm.learning_rate=0.1", "env.scene.num_envs=5")
    assert (agent.max_iterations, agent.algorithm.learning_rate, env.scene.num_envs) == (3, 0.1, 5)


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("agent.nonsense=3", "LiftRunnerCfg has no setting 'nonsense'; available: .*max_iterations"),
        ("agent.algorithm.nonsense=3", "PpoCfg has no setting 'nonsense'; available: .*learning_rate"),
        ("agent.actor.hiden_dims=[8]", "NetworkCfg has no setting 'hiden_dims'; available: .*hidden_dims"),
        ("agent.actor.distribution_cfg.std=1", "NoiseCfg has no setting 'std'; available: .*init_std"),
        ("env.nonsense=3", "LiftEnvCfg has no setting 'nonsense'; available: .*action_scale"),
        ("env.scene.num_env=3", "env.scene has no setting 'num_env'; available: .*num_envs"),
        ("env.sim.nonsense=3", "env.sim has no setting 'nonsense'; available: .*dt"),
    ],
)
def test_a_setting_that_nobody_has_declared_is_refused_with_what_there_is(override, complaint):
    with pytest.raises(AttributeError, match=complaint) as error:
        configured(override)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("env.sim.dt=abc", "env.sim.dt is 'abc', expected a number"),
        ("env.sim.dt=-1", "env.sim.dt is -1, expected more than 0 and finite"),
        ("env.sim.dt=1e999", "env.sim.dt is inf, expected more than 0 and finite"),
        ("env.sim.dt=None", "env.sim.dt is None, expected a number"),
        ("env.sim.gravity=[0,0]", r"env.sim.gravity is \[0, 0\], expected tuple\[float, float, float\]"),
        ("env.scene.num_envs=2.5", "env.scene.num_envs is 2.5, expected an integer"),
        ("env.scene.num_envs=0", "env.scene.num_envs is 0, expected at least 1"),
        ("env.decimation=often", "LiftEnvCfg.decimation is 'often', expected an integer"),
        ("agent.max_iterations=many", "LiftRunnerCfg.max_iterations is 'many', expected an integer"),
        ("agent.algorithm.learning_rate=abc", "PpoCfg.learning_rate is 'abc', expected a number"),
        ("agent.algorithm.gamma=2", "PpoCfg.gamma is 2, expected from 0.0 to 1.0"),
        ("agent.actor.hidden_dims=8", r"NetworkCfg.hidden_dims is 8, expected list\[int\]"),
        ("agent.actor.obs_normalization=3", "NetworkCfg.obs_normalization is 3, expected true or false"),
        ("agent.actor.activation=abc", "NetworkCfg.activation is 'abc': Invalid activation .* Valid .*'elu', .*'relu'"),
        ("agent.critic.activation=3", "NetworkCfg.activation is 3, expected text"),
        ("agent.actor.class_name=Mlp", "NetworkCfg.class_name is 'Mlp': Could not resolve 'Mlp'"),
        ("agent.critic.class_name=no_such.Net", "NetworkCfg.class_name is 'no_such.Net': Could not resolve"),
        ("agent.actor.class_name=no_such:Net", "NetworkCfg.class_name is 'no_such:Net': No module named 'no_such'"),
        ("agent.actor.class_name=torch:Net", "NetworkCfg.class_name is 'torch:Net': module 'torch' has no attribute"),
        ("agent.actor.class_name=math:pi", "NetworkCfg.class_name is 'math:pi': is no class"),
        ("agent.actor.distribution_cfg.class_name=abc", "NoiseCfg.class_name is 'abc': Could not resolve 'abc'"),
        ("agent.algorithm.class_name=abc", "PpoCfg.class_name is 'abc': Could not resolve 'abc'"),
        ("agent.algorithm.schedule=adaptiv", "PpoCfg.schedule is 'adaptiv', expected one of adaptive, fixed"),
        ("agent.class_name=abc", "LiftRunnerCfg.class_name is 'abc', expected one of OnPolicyRunner"),
        ("agent.class_name=DistillationRunner", "LiftRunnerCfg.class_name is 'DistillationRunner', expected one of On"),
        ("agent.device=abc", "LiftRunnerCfg.device is 'abc': Expected one of cpu, cuda"),
    ],
)
def test_a_value_that_a_setting_cannot_have_is_refused_with_what_is_expected(override, complaint):
    with pytest.raises(ValueError, match=f"^{complaint}") as error:
        configured(override)
    assert "\n" not in str(error.value)


def test_texts_that_rsl_rl_can_read_are_taken_as_they_are():
    texts = {
        "actor.activation": "ELU",
        "critic.class_name": "rsl_rl.models:MLPModel",
        "actor.class_name": "RNNModel",
        "algorithm.schedule": "fixed",
        "class_name": "OnPolicyRunner",
        "device": "cpu",
    }
    _, agent = configured(*(f"agent.{path}={text}" for path, text in texts.items()))
    taken = {path: operator.attrgetter(path)(agent) for path in texts}
    assert taken == texts


def test_a_machine_without_cuda_refuses_to_train_on_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match=r"^LiftRunnerCfg\.device is 'cuda:1': there is no CUDA device; available: "):
        configured("agent.device=cuda:1")


def test_what_every_task_has_by_default_is_allowed():
    from isaaclab_tasks.utils.hydra import register_task

    for task in all_tasks():
        register_task(task.name, "rsl_rl_cfg_entry_point", overrides=[])[0].validate()


_COMMAND = """
import dataclasses, sys, traceback, types
from flow_rag_vla.tasks.facts.declared import Declared, refuse_undeclared

@dataclasses.dataclass
class Cfg(Declared):
    seed: int = 0

@dataclasses.dataclass
class Foreign:
    dt: float = 0.1

foreign = Foreign()
foreign.nonsense = 3
cfg = Cfg()
def set_nonsense():
    cfg.nonsense = 3
def launch():
    sys.modules["__main__"].__spec__ = types.SimpleNamespace(name="isaaclab.__main__")
    try:
        refuse_undeclared(foreign, "env.sim")
    except Exception:
        traceback.print_exc()
        raise
def through_a_number():
    from isaaclab_tasks.utils import hydra
    hydra._setattr(cfg, "seed.x", 3)
def text():
    cfg.seed = "abc"
env = lambda: refuse_undeclared(foreign, "env.sim")
bug = lambda: cfg.gone
{
    "agent": set_nonsense, "path": through_a_number, "text": text, "env": env, "launcher": launch, "bug": bug
}[sys.argv[1]]()
"""


@pytest.mark.parametrize(
    ("where", "code", "said"),
    [
        ("agent", 2, "error: Cfg has no setting 'nonsense'; available: seed"),
        ("env", 2, "error: env.sim has no setting 'nonsense'; available: dt"),
        ("launcher", 2, "error: env.sim has no setting 'nonsense'; available: dt"),
        ("path", 2, "error: seed.x=3: 'int' object has no attribute 'x'"),
        ("text", 2, "error: Cfg.seed is 'abc', expected an integer"),
        ("bug", 1, "AttributeError: 'Cfg' object has no attribute 'gone'"),
    ],
)
def test_it_ends_a_command_that_lets_it_pass_with_one_line(where: str, code: int, said: str):
    done = subprocess.run([sys.executable, "-c", _COMMAND, where], capture_output=True, text=True, check=False)
    lines = done.stderr.splitlines()
    assert (done.returncode, lines[-1]) == (code, said)
    assert (len(lines) == 1) == (code == 2)
