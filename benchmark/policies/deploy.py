"""What ``scripts/optimize_tensorrt.py`` and ``scripts/quantize_model.py`` do: convert, compare with torch, time."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from flow_rag_vla.agents.deployment.onnx_policy import OnnxPolicy
from flow_rag_vla.agents.deployment.optimize import optimize_flow_module
from flow_rag_vla.agents.deployment.policy_module import PolicyModule
from flow_rag_vla.agents.deployment.quantization import float_layers, int8_layers
from flow_rag_vla.agents.deployment.runtimes import RUNS_ON, OnnxFiles
from flow_rag_vla.agents.policy.checkpoint import load_checkpoint
from flow_rag_vla.agents.policy.demonstration_bank import bank_path
from flow_rag_vla.benchmark.command.progress import Progress
from flow_rag_vla.benchmark.episodes.actors import checkpoint_path
from flow_rag_vla.benchmark.policies.runtimes import (
    STEPS,
    RuntimeRow,
    action_difference,
    compare_runtimes,
    demonstrated_inputs,
    prepare_runtime,
    runtime_table,
)
from flow_rag_vla.benchmark.policies.timing import device_name, on_device

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import TextIO

    from flow_rag_vla.agents.policy.checkpoint import PolicyCheckpoint
    from flow_rag_vla.benchmark.policies.runtimes import PolicyInputs

CHECKED_BATCHES = (1, 7)
"""Numbers of rows that a written file is compared with torch on, beside the fleet's."""


@dataclass(frozen=True)
class DeploymentRequest:
    """What to convert, and how to compare it."""

    checkpoint: str
    out: Path
    ode_steps: int | None
    """Solver steps; the checkpoint's own for None."""
    fleet: int
    """Rows of the large batch."""
    devices: tuple[str, ...] = ("cpu",)
    """Where runtimes are timed, one table each."""


def optimize(
    request: DeploymentRequest, runtimes: Sequence[str], *, fp16: bool, max_batch: int, console: TextIO
) -> dict[str, Any]:
    """Write ONNX files and, where TensorRT is installed, an engine; compare and time; JSON-able.

    Raises:
        ValueError: a checkpoint, bank or number that does not serve.
    """
    timed = [name for name in runtimes if any(torch.device(device).type in RUNS_ON[name] for device in request.devices)]
    if "tensorrt" in timed and max_batch < request.fleet:
        raise ValueError(
            f"the engine takes {max_batch} rows (--max_batch), expected at least the {request.fleet} of --fleet that "
            "tensorrt is timed with"
        )
    policy, inputs = _load(request)
    print(f"exporting to {request.out} (half a minute)", file=console, flush=True)
    written = optimize_flow_module(policy, request.out, fp16=fp16, max_batch=max_batch)
    differences = {}
    for name, path in (("onnx", written.onnx), ("onnx_fp16", written.onnx_fp16)):
        if path is not None:
            differences[name] = _check(policy, path, inputs)
            for where, worst in differences[name].items():
                print(
                    f"{path} on {where} inputs, from torch at most: {worst['displacement_m']:.1e} m, "
                    f"{worst['rotation_rad']:.1e} rad, {worst['grip']:.1e} of the grip",
                    file=console,
                )
    print(written.note, file=console, flush=True)
    return {
        **_provenance(request, policy),
        "files": {"onnx": written.onnx.stat().st_size}
        | ({} if written.onnx_fp16 is None else {"onnx_fp16": written.onnx_fp16.stat().st_size}),
        "engine": None if written.engine is None else str(written.engine),
        "note": written.note,
        "differences": differences,
        "rows": _compare(
            policy,
            runtimes,
            OnnxFiles(policy, request.out, full=written.onnx, engine=written.engine),
            inputs,
            request.devices,
            console,
        ),
    }


def quantize(request: DeploymentRequest, console: TextIO) -> dict[str, Any]:
    """Write the int8 file beside the float32 one; compare and time both; JSON-able.

    Raises:
        ValueError: a checkpoint, bank or number that does not serve.
    """
    policy, inputs = _load(request)
    print(f"exporting to {request.out} (half a minute)", file=console, flush=True)
    files = OnnxFiles(policy, request.out)
    layers = {"int8": len(int8_layers(files.int8)), "float": len(float_layers(files.int8))}
    print(f"{files.int8}: {layers['int8']} matrix products in int8, {layers['float']} in float32", file=console)
    return {
        **_provenance(request, policy),
        "files": {"onnx": files.full.stat().st_size, "int8": files.int8.stat().st_size},
        "matrix_products": layers,
        "differences": {"int8": _check(policy, files.int8, inputs)},
        "rows": _compare(policy, ("torch", "onnx", "int8"), files, inputs, request.devices, console),
    }


def _load(request: DeploymentRequest) -> tuple[PolicyCheckpoint, PolicyInputs]:
    if request.fleet < 1:
        raise ValueError(f"the fleet has {request.fleet} rows, expected at least 1")
    path = checkpoint_path(request.checkpoint)
    policy = load_checkpoint(path).with_steps(request.ode_steps)
    try:
        request.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cannot write to {request.out}: {error.strerror}") from None
    return policy, demonstrated_inputs(policy, bank_path(path), request.fleet)


def _provenance(request: DeploymentRequest, policy: PolicyCheckpoint) -> dict[str, Any]:
    return {
        "checkpoint_sha256": policy.sha256,
        "ode_steps": policy.flow.cfg.ode_steps,
        "fleet": request.fleet,
        "threads": torch.get_num_threads(),
    }


def _check(policy: PolicyCheckpoint, path: Path, inputs: PolicyInputs) -> dict[str, dict[str, float]]:
    """Worst differences of the file at ``path`` from torch, on random and on demonstrated inputs."""
    run = OnnxPolicy(path)
    rng = torch.Generator().manual_seed(1)
    module = PolicyModule(policy)
    fleet = len(inputs[0])
    features, instruction, noise = inputs
    cases = {
        "random": [module.random_inputs(batch, rng) for batch in (*CHECKED_BATCHES, fleet)],
        "demonstrated": [inputs, *((features[:b], instruction[:b], noise[:b]) for b in CHECKED_BATCHES if b < fleet)],
    }
    worst = {}
    for where, batches in cases.items():
        found = [
            asdict(action_difference(run(*batch), policy.flow.generate(policy.encoder(batch[0], batch[1]), batch[2])))
            for batch in batches
        ]
        worst[where] = {name: max(one[name] for one in found) for name in found[0]}
    return worst


def _compare(
    policy: PolicyCheckpoint,
    names: Sequence[str],
    files: OnnxFiles,
    inputs: PolicyInputs,
    devices: Sequence[str],
    console: TextIO,
) -> list[dict[str, Any]]:
    """One table a device, of the runtimes of ``names`` that are for it."""
    return [
        {**asdict(row), "hardware": device_name(device)}
        for device in devices
        for row in _compare_on(device, policy, names, files, inputs, console)
    ]


def _compare_on(
    device: str,
    policy: PolicyCheckpoint,
    names: Sequence[str],
    files: OnnxFiles,
    inputs: PolicyInputs,
    console: TextIO,
) -> list[RuntimeRow]:
    asked, names = names, [name for name in names if torch.device(device).type in RUNS_ON[name]]
    if not names:
        print(f"{device_name(device)}: nothing is timed, none of {', '.join(asked)} is for it", file=console)
        return []
    if "compile" in names:
        print(f"compiling for {device} and two batch sizes (a minute or more)", file=console, flush=True)
    there = on_device(policy, device)
    features, instruction, noise = (value.to(device) for value in inputs)
    runtimes = [prepare_runtime(name, there, files, len(noise)) for name in names]
    with Progress(STEPS, "repetitions", console) as progress:
        rows = compare_runtimes(there, runtimes, (features, instruction, noise), progress.update)
    print(f"{device_name(device)}\n{runtime_table(rows, len(noise), device)}", file=console)
    for note in dict.fromkeys(row.note for row in rows if row.note):
        print(note, file=console)
    return rows
