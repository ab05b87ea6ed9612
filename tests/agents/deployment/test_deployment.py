"""The exported, quantised and compiled policy against the policy itself, on a small network."""

from __future__ import annotations

import importlib.util
import shutil
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch._dynamo.exc import BackendCompilerFailed
from torch._inductor.exc import GPUTooOldForTriton, TritonMissing
from torch._subclasses.fake_tensor import FakeTensorMode

from flow_rag_vla.agents.arms.catalogue import FLOW_ONLY, PARALLEL
from flow_rag_vla.agents.arms.settings import AgentSettings, ArmSettings
from flow_rag_vla.agents.deployment import compiled, optimize
from flow_rag_vla.agents.deployment.onnx_export import check_onnx, export_onnx
from flow_rag_vla.agents.deployment.onnx_policy import CPU_PROVIDER, CUDA_PROVIDER, OnnxPolicy
from flow_rag_vla.agents.deployment.optimize import optimize_flow_module
from flow_rag_vla.agents.deployment.policy_module import INPUTS, PolicyModule
from flow_rag_vla.agents.deployment.quantization import float_layers, int8_layers, quantize_rag_module
from flow_rag_vla.agents.deployment.runtimes import OnnxFiles, build_runtime, chunk_policy, runtimes_here
from flow_rag_vla.agents.deployment.tensorrt_engine import half_precision, tensorrt_lacks
from flow_rag_vla.agents.deployment.tensorrt_policy import TensorRTPolicy
from flow_rag_vla.agents.flow_rag_vla import FlowRAGVLA
from flow_rag_vla.agents.policy.checkpoint import PolicyCheckpoint
from flow_rag_vla.agents.policy.encoders import LearnedStateEncoder
from flow_rag_vla.agents.policy.flow_matching import FlowMatching, FlowMatchingCfg
from flow_rag_vla.agents.policy.instruction_encoder import INSTRUCTION_DIM
from flow_rag_vla.agents.policy.instructions import InstructionTable
from flow_rag_vla.agents.policy.velocity_network import VelocityNetworkCfg

TEXT = "pick up the cube"  # the hand-made observations' own
SETTINGS = ArmSettings(AgentSettings(execute=4))


CLOSE = 2e-5
"""Of a grip that spans 2: float32, whatever the order of its sums."""


def small_policy(kind="adaln"):
    """Every weight is random: those that begin at zero would hide a wrong graph."""
    rng = torch.Generator().manual_seed(0)
    velocity = VelocityNetworkCfg(kind, horizon=4, hidden_dim=32, num_layers=1, mlp_ratio=2)
    flow = FlowMatching(FlowMatchingCfg(velocity, "midpoint", 1))
    texts = InstructionTable([TEXT, "stack it"], ["PickPlace", "Stack"], torch.eye(2, INSTRUCTION_DIM))
    encoder = LearnedStateEncoder(instructions=texts)
    for module in (encoder, flow):
        for name, weight in module.named_parameters():
            if weight.ndim > 1 or name.endswith("bias"):
                weight.data = torch.randn(weight.shape, generator=rng) / weight.shape[-1] ** 0.5
    flow.set_action_statistics(torch.full((7,), 0.002), torch.tensor([0.02, 0.02, 0.02, 0.1, 0.1, 0.1, 0.5]))
    encoder.eval().requires_grad_(False)
    flow.eval().requires_grad_(False)
    return PolicyCheckpoint(encoder, flow)


@pytest.fixture(scope="module")
def policy():
    return small_policy()


@pytest.fixture(scope="module")
def files(policy, tmp_path_factory):
    return OnnxFiles(policy, tmp_path_factory.mktemp("deployment"))


def own_chunks(policy, inputs):
    features, instruction, noise = inputs
    return policy.flow.generate(policy.encoder(features, instruction), noise)


def some_inputs(policy, batch):
    return PolicyModule(policy).random_inputs(batch, torch.Generator().manual_seed(batch))


def test_the_module_is_the_policy(policy):
    inputs = some_inputs(policy, 5)
    torch.testing.assert_close(PolicyModule(policy)(*inputs), own_chunks(policy, inputs), rtol=0, atol=CLOSE)


@pytest.mark.parametrize("batch", [1, 7])
def test_the_exported_policy_answers_as_torch_does_at_any_batch_size(policy, files, batch):
    inputs = some_inputs(policy, batch)
    chunks = OnnxPolicy(files.full)(*inputs)
    assert chunks.shape == (batch, 4, 7)
    assert chunks.std() > 0.01  # a policy that always says the same would agree with anything
    torch.testing.assert_close(chunks, own_chunks(policy, inputs), rtol=0, atol=CLOSE)


def test_a_row_of_the_exported_policy_does_not_depend_on_its_neighbours(policy, files):
    inputs = some_inputs(policy, 7)
    run = OnnxPolicy(files.full)
    alone = run(*(value[3:4] for value in inputs))
    torch.testing.assert_close(run(*inputs)[3:4], alone, rtol=0, atol=CLOSE)


def test_every_input_of_the_exported_policy_matters(policy, files):
    inputs, others = some_inputs(policy, 7), PolicyModule(policy).random_inputs(7, torch.Generator().manual_seed(99))
    run = OnnxPolicy(files.full)
    for i in range(len(INPUTS)):
        changed = [*inputs]
        changed[i] = others[i]
        assert not torch.allclose(run(*changed), run(*inputs), atol=1e-3), INPUTS[i]


def test_a_file_with_a_fixed_batch_size_is_refused(files, tmp_path):
    model = onnx.load(files.full)
    model.graph.input[1].type.tensor_type.shape.dim[0].dim_value = 2
    onnx.save(model, tmp_path / "fixed.onnx")
    with pytest.raises(ValueError, match="batch size of instruction is fixed"):
        check_onnx(tmp_path / "fixed.onnx")


def test_a_policy_without_fixed_steps_is_refused(policy):
    adaptive = PolicyCheckpoint(policy.encoder, FlowMatching(FlowMatchingCfg(policy.flow.cfg.velocity, "dopri5")))
    with pytest.raises(ValueError, match="'dopri5' chooses its steps as it goes"):
        PolicyModule(adaptive)


@pytest.mark.slow
def test_the_guide_s_transformer_exports_too(tmp_path):
    policy = small_policy("transformer")
    export_onnx(PolicyModule(policy), tmp_path / "policy.onnx")
    for batch in (1, 7):
        inputs = some_inputs(policy, batch)
        chunks = OnnxPolicy(tmp_path / "policy.onnx")(*inputs)
        torch.testing.assert_close(chunks, own_chunks(policy, inputs), rtol=0, atol=CLOSE)


def test_every_linear_layer_is_quantised_to_int8_and_the_file_shrinks(policy, files):
    # The time embedding of a fixed solver step is a constant: no product is left of its layers.
    layers = {name: m for net in (policy.encoder, policy.flow) for name, m in net.named_modules()}
    linear = [m for name, m in layers.items() if isinstance(m, torch.nn.Linear) and "time_embed" not in name]
    weights = {t.name: t for t in onnx.load(files.int8).graph.initializer if t.data_type == onnx.TensorProto.INT8}
    stored = sorted(tuple(t.dims) for t in weights.values() if len(t.dims) == 2)
    assert stored == sorted((layer.in_features, layer.out_features) for layer in linear)
    assert int8_layers(files.int8)
    assert not float_layers(files.int8)
    assert not int8_layers(files.full)
    assert files.int8.stat().st_size < 0.6 * files.full.stat().st_size


def int8_weights(path):
    """The int8 weights (in, out) of every integer matrix product in a file."""
    graph = onnx.load(path).graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    products = [node for node in graph.node if node.op_type == "MatMulInteger"]
    weights = [onnx.numpy_helper.to_array(tensors[node.input[1]]) for node in products]
    assert len(weights) == len(int8_layers(path)) > 0
    return weights


def pairs_along_inputs(values):
    """Axis -2 (inputs of a layer) as (pairs, 2), as VPMADDUBSW takes them; an odd end is padded with zero."""
    *rest, inputs, outputs = values.shape
    padded = np.zeros((*rest, inputs + inputs % 2, outputs), dtype=np.int64)
    padded[..., :inputs, :] = values
    return padded.reshape(*rest, -1, 2, outputs)


def saturating_product(activations, weights):
    """What a processor without VNNI makes of uint8 (n, in) times int8 (in, out): sums of two in a saturating int16."""
    products = activations.astype(np.int64)[:, :, None] * weights.astype(np.int64)
    int16 = np.iinfo(np.int16)
    return pairs_along_inputs(products).sum(axis=-2).clip(int16.min, int16.max).sum(axis=-2)


def worst_activations(weights):
    """uint8 (2 out, in): what drives each output furthest up, and furthest down."""
    return np.where(np.concatenate([weights.T > 0, weights.T < 0]), 255, 0).astype(np.uint8)


def test_no_sum_of_two_products_can_leave_int16_in_any_quantised_layer(files):
    # Only processors without VNNI add two products in an int16, so that a failure would show on those alone.
    for weights in int8_weights(files.int8):
        assert weights.dtype == np.int8
        assert 255 * pairs_along_inputs(np.abs(weights.astype(np.int64))).sum(axis=-2).max() <= np.iinfo(np.int16).max
        assert np.abs(weights.astype(np.int64)).max() == 64  # all of the seven bits are used


def test_a_processor_without_vnni_computes_every_quantised_layer_exactly(files):
    rng = np.random.default_rng(0)
    for weights in int8_weights(files.int8):
        drawn = rng.integers(0, 256, (8, len(weights)), dtype=np.uint8)
        activations = np.concatenate([drawn, worst_activations(weights)])
        exact = activations.astype(np.int64) @ weights.astype(np.int64)
        np.testing.assert_array_equal(saturating_product(activations, weights), exact)


def test_eight_bit_weights_would_saturate_on_a_processor_without_vnni():
    activations = np.array([[255, 255, 255], [255, 0, 255], [1, 1, 1]], dtype=np.uint8)
    weights = np.array([[127, -127], [127, -127], [127, -127]], dtype=np.int8)
    # 2 * 255 * 127 = 64770 is cut to 32767 (to -32768 below zero); the third product stands alone and is 32385.
    expected = [[32767 + 32385, -32768 - 32385], [2 * 32385, -2 * 32385], [381, -381]]
    np.testing.assert_array_equal(saturating_product(activations, weights), expected)
    assert (activations.astype(np.int64) @ weights.astype(np.int64))[0].tolist() == [97155, -97155]


@pytest.mark.parametrize("batch", [1, 7])
def test_the_quantised_policy_stays_near_torch(policy, files, batch):
    inputs = some_inputs(policy, batch)
    off = (OnnxPolicy(files.int8)(*inputs) - own_chunks(policy, inputs)).abs()
    assert 0.0 < off.max() < 0.2  # of a grip that spans 2
    assert off[..., :3].max() < 0.005


def test_the_half_precision_file_stays_near_torch_too(policy, files, tmp_path):
    half_precision(files.full, tmp_path / "half.onnx")
    inputs = some_inputs(policy, 7)
    off = (OnnxPolicy(tmp_path / "half.onnx")(*inputs) - own_chunks(policy, inputs)).abs()
    assert 0.0 < off.max() < 0.1
    assert off[..., :3].max() < 0.003
    assert (tmp_path / "half.onnx").stat().st_size < 0.7 * files.full.stat().st_size


def test_a_missing_file_gives_one_line(tmp_path):
    for refuse in (OnnxPolicy, lambda path: quantize_rag_module(path, tmp_path / "out.onnx")):
        with pytest.raises(ValueError, match=r"none\.onnx: no such file"):
            refuse(tmp_path / "none.onnx")


def only_these(monkeypatch, *, package, gpu):
    """Pretend that TensorRT's package and a GPU are here, or are not."""
    find = importlib.util.find_spec
    found = find("json") if package else None
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: found if name == "tensorrt" else find(name, *a))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)


@pytest.mark.parametrize(("package", "gpu"), [(False, False), (False, True), (True, False), (True, True)])
def test_what_tensorrt_needs_and_does_not_find_is_named_in_one_line(monkeypatch, package, gpu):
    only_these(monkeypatch, package=package, gpu=gpu)
    line = tensorrt_lacks()
    assert (line is None) == (package and gpu)
    assert ("tensorrt" in runtimes_here()) == (package and gpu)
    if line is not None:
        assert ("pip install tensorrt" in line) == (not package)
        assert ("an NVIDIA GPU" in line) == (not gpu)
        assert "\n" not in line


def test_a_policy_that_tensorrt_should_run_is_refused_where_it_cannot(policy, files, monkeypatch):
    only_these(monkeypatch, package=False, gpu=True)
    with pytest.raises(ValueError, match=r"^the runtime tensorrt needs the package tensorrt \(pip install tensorrt\)$"):
        build_runtime("tensorrt", policy, files, threads=1, batch=1)


def test_without_tensorrt_the_onnx_file_is_the_result(policy, files, tmp_path, monkeypatch):
    # A second export would take as long as all other tests here together.
    monkeypatch.setattr(optimize, "export_onnx", lambda module, path: shutil.copy(files.full, path))
    only_these(monkeypatch, package=False, gpu=False)
    written = optimize_flow_module(policy, tmp_path, fp16=False)
    assert written.engine is None
    assert written.note == (
        f"no TensorRT engine was built, the ONNX files are the result: TensorRT needs {tensorrt_lacks()}"
    )
    assert [file.name for file in tmp_path.iterdir()] == [written.onnx.name]


def test_an_engine_for_no_rows_is_refused_before_anything_is_written(policy, tmp_path):
    with pytest.raises(ValueError, match="max_batch is 0, expected at least 1"):
        optimize_flow_module(policy, tmp_path, max_batch=0)
    assert not list(tmp_path.iterdir())


def test_without_a_compiler_the_policy_runs_eagerly_and_says_why(policy, files, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    runtime = build_runtime("compile", policy, files, threads=1, batch=2)
    assert runtime.note == (
        "torch.compile needs a C++ compiler and found no no-such-compiler: the policy runs without it"
    )
    inputs = some_inputs(policy, 2)
    torch.testing.assert_close(runtime.run(*inputs), own_chunks(policy, inputs), rtol=0, atol=CLOSE)


@pytest.mark.parametrize(
    ("device", "variables", "found", "missing"),
    [
        ("cpu", {}, ["g++"], None),
        ("cpu", {}, ["gcc", "clang"], "a C++ compiler and found no g++"),
        ("cpu", {"CXX": "icpx"}, ["g++"], "a C++ compiler and found no icpx"),
        ("cuda", {}, ["gcc"], None),
        ("cuda", {}, ["clang"], None),
        ("cuda", {}, ["g++"], "a C compiler and found no gcc or clang"),
        ("cuda", {"CC": "icx"}, ["gcc"], "a C compiler and found no icx"),
    ],
)
def test_the_compiler_that_is_missed_is_the_one_that_the_device_needs(monkeypatch, device, variables, found, missing):
    for variable in ("CC", "CXX"):
        monkeypatch.delenv(variable, raising=False)
    for variable, name in variables.items():
        monkeypatch.setenv(variable, name)
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}" if name in found else None)
    assert compiled.missing_compiler(torch.device(device)) == missing


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TritonMissing(None), "Cannot find a working triton installation. "),
        (
            GPUTooOldForTriton(SimpleNamespace(name="Tesla K80", major=3, minor=7), None),
            "Found Tesla K80 which is too old",
        ),
        (BackendCompilerFailed("inductor", RuntimeError("no room"), None), "RuntimeError: no room)"),
    ],
    ids=["no Triton", "an old GPU", "a failed back end"],
)
@pytest.mark.parametrize("at_call", [1, 2])
def test_a_compiler_that_fails_leaves_the_policy_as_it_was_and_says_why(policy, monkeypatch, error, reason, at_call):
    calls = []

    def fails(*inputs):
        calls.append(inputs)
        if len(calls) == at_call:
            raise error
        return inputs[-1]

    monkeypatch.setattr(compiled, "missing_compiler", lambda device: None)
    monkeypatch.setattr(torch, "compile", lambda module, **kwargs: fails)
    module = PolicyModule(policy)
    run, note = compiled.compile_policy(module, 2)
    assert run is module
    assert note.startswith(f"torch.compile failed ({reason}")
    assert note.endswith("): the policy runs without it")
    assert "\n" not in note


def test_a_policy_is_compiled_once_its_graph_has_been_replayed(policy, monkeypatch):
    calls = []
    monkeypatch.setattr(compiled, "missing_compiler", lambda device: None)
    monkeypatch.setattr(torch, "compile", lambda module, **kwargs: lambda *inputs: calls.append(len(inputs[0])))
    assert compiled.compile_policy(PolicyModule(policy), 5)[1] == ""
    assert calls == [5, 5, 5]  # compiled, captured, replayed


@pytest.mark.slow
@pytest.mark.skipif(compiled.missing_compiler(torch.device("cpu")) is not None, reason="needs a C++ compiler")
def test_the_compiled_policy_answers_as_eager_torch_does(policy, files):
    runtime = build_runtime("compile", policy, files, threads=1, batch=3)
    assert runtime.note == ""
    for batch in (3, 1):
        inputs = some_inputs(policy, batch)
        torch.testing.assert_close(runtime.run(*inputs), own_chunks(policy, inputs), rtol=0, atol=CLOSE)


def test_a_compiled_decision_on_cuda_is_not_overwritten_by_the_next(policy, monkeypatch):
    # What a CUDA graph returns is the memory that its next replay writes to.
    output, modes = torch.zeros(1), []

    def graph(module, *, dynamic, mode):
        modes.append(mode)
        return lambda features, instruction, noise: output.add_(1.0)

    monkeypatch.setattr(torch, "compile", graph)
    run = compiled._graphed(PolicyModule(policy))
    first, second = run(*some_inputs(policy, 1)), run(*some_inputs(policy, 1))
    assert (first.item(), second.item()) == (1.0, 2.0)
    assert modes == ["reduce-overhead"]


def test_the_module_decides_on_a_cuda_device_without_leaving_it(policy):
    module, inputs = PolicyModule(policy), some_inputs(policy, 3)
    state = module.state_dict()
    with FakeTensorMode() as fake:  # refuses to mix devices, and to tell the host what is on one
        weights = {name: fake.from_tensor(value).to("cuda") for name, value in state.items()}
        chunks = torch.func.functional_call(module, weights, tuple(fake.from_tensor(v).to("cuda") for v in inputs))
    assert (chunks.device.type, chunks.shape) == ("cuda", (3, 4, 7))


def test_onnx_without_its_cuda_provider_answers_a_cuda_policy_from_the_cpu_and_says_so(policy, files, monkeypatch):
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: [CPU_PROVIDER])
    run, inputs = OnnxPolicy(files.full, device="cuda:0"), some_inputs(policy, 2)
    assert run.provider == CPU_PROVIDER
    assert run.note.startswith(f"ONNX Runtime finds no {CUDA_PROVIDER} here (package onnxruntime-gpu")
    torch.testing.assert_close(run(*inputs), own_chunks(policy, inputs), rtol=0, atol=CLOSE)


@pytest.mark.parametrize(
    ("device", "expected"),
    [("cpu", [CPU_PROVIDER]), ("cuda:1", [(CUDA_PROVIDER, {"device_id": 1}), CPU_PROVIDER])],
)
def test_the_device_chooses_onnx_runtimes_provider(files, monkeypatch, device, expected):
    asked = []

    class Session:
        def __init__(self, path, options, providers):
            asked.extend(providers)

        def get_providers(self):
            return [p if isinstance(p, str) else p[0] for p in asked]

    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: [CUDA_PROVIDER, CPU_PROVIDER])
    monkeypatch.setattr("onnxruntime.InferenceSession", Session)
    run = OnnxPolicy(files.full, device=device)
    assert asked == expected
    assert run.provider == (CPU_PROVIDER if device == "cpu" else CUDA_PROVIDER)
    assert run.note == ""


def test_a_runtime_says_what_computes(policy, files):
    assert build_runtime("torch", policy, files, threads=1, batch=1).device == "cpu"
    assert build_runtime("onnx", policy, files, threads=1, batch=1).device == "cpu, CPUExecutionProvider"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", [name for name in runtimes_here() if name != "int8"])
def test_every_runtime_answers_on_a_gpu_as_torch_does_on_the_cpu(files, name):
    policy, inputs = small_policy(), some_inputs(small_policy(), 3)
    expected = own_chunks(policy, inputs)
    policy.encoder.to("cuda:0")
    policy.flow.to("cuda:0")
    runtime = build_runtime(name, policy, files, threads=1, batch=3)
    if name == "compile" and compiled.missing_compiler(torch.device("cuda:0")) is not None:
        pytest.skip(runtime.note)
    if name == "onnx" and CUDA_PROVIDER not in onnxruntime.get_available_providers():
        pytest.skip(runtime.note)
    assert runtime.note == ""
    assert runtime.device == (f"cuda:0, {CUDA_PROVIDER}" if name == "onnx" else "cuda:0")
    for _ in range(3):
        chunks = runtime.run(*(value.to("cuda:0") for value in inputs))
        assert chunks.device.type == "cuda"
        tolerance = 0.1 if name == "tensorrt" else 1e-4  # half precision; else float32 in another order
        torch.testing.assert_close(chunks.cpu(), expected, rtol=0, atol=tolerance)


def test_an_engine_that_does_not_run_is_an_error(policy):
    run = object.__new__(TensorRTPolicy)
    run._device = torch.device("cpu")
    run._context = SimpleNamespace(
        set_input_shape=lambda name, shape: True,
        set_tensor_address=lambda name, address: None,
        execute_async_v3=lambda stream: False,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=0))
        with pytest.raises(RuntimeError, match="TensorRT did not run its engine on 2 rows"):
            run(*some_inputs(policy, 2))


def test_an_unknown_runtime_gives_the_list(policy, files):
    with pytest.raises(ValueError, match="unknown runtime 'tflite'; available: torch, compile, onnx, int8, tensorrt"):
        build_runtime("tflite", policy, files, threads=1, batch=1)


def test_the_whole_agent_decides_alike_by_another_runtime(policy, files, observe):
    observation, noise = observe(3), torch.randn(3, 4, 7, generator=torch.Generator().manual_seed(0))
    own = FlowRAGVLA.for_arm(FLOW_ONLY, policy, None, SETTINGS)
    onnx = chunk_policy(policy, OnnxPolicy(files.full))
    other = FlowRAGVLA.for_arm(FLOW_ONLY, policy, None, SETTINGS, chunk_policy=onnx)
    torch.testing.assert_close(other(observation, noise=noise), own(observation, noise=noise), rtol=0, atol=CLOSE)


def test_arms_that_steer_the_flow_take_no_other_runtime(policy, files):
    with pytest.raises(ValueError, match="the flow alone, got arm 'parallel'"):
        FlowRAGVLA.for_arm(PARALLEL, policy, None, SETTINGS, chunk_policy=chunk_policy(policy, OnnxPolicy(files.full)))
