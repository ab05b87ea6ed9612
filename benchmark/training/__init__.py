"""``scripts/train.py``: from nothing to a checkpoint: demonstrations, training, validation, pictures, in one folder."""
