"""Camera pictures to state embeddings, and to the perceived fields of an observation."""
