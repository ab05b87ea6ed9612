"""The episodes of a run as columns of numbers, sorted into place."""
