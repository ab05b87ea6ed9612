from __future__ import annotations

import pytest


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
