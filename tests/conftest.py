from __future__ import annotations

import gc

import pytest


@pytest.fixture(scope="module")
def frozen_heap() -> None:
    """Let the garbage collector pass over all that lives by now.

    Every simulation that closes collects garbage; without this it looks each time through a million objects of
    imported libraries.  To be asked for while no simulation lives, since what is frozen is not collected any more.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def save_tiny_dinov2():
    """Saves a DINOv2 of two narrow layers with random weights to a folder, as the real one is stored."""

    def save(folder, seed=0, num_hidden_layers=2, patch_size=14):
        import torch
        from transformers import Dinov2Config, Dinov2Model

        config = Dinov2Config(
            hidden_size=32,
            num_hidden_layers=num_hidden_layers,
            num_attention_heads=2,
            mlp_ratio=2,
            image_size=28,
            patch_size=patch_size,
        )
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            Dinov2Model(config).save_pretrained(folder)
        return folder

    return save
