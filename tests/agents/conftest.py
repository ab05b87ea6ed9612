"""One thread: these tests time nothing, and two threads on small matrices only wait for each other."""

import torch

torch.set_num_threads(1)
