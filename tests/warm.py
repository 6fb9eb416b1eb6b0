"""Imported by the process from which trainings are forked: what PyTorch does only once, is done.

With one thread and on the processor, nothing here starts a thread, which a fork would lose.
"""

import torch
import torch._dynamo  # the optimizers import it when the first one is made

from progan.config import preset
from progan.estimate import measure

torch.set_num_threads(1)
_tiny = preset("small", resolution=16, fmap_base=32, fmap_max=4, minibatch="8")
for _level, _seconds, _measured in measure(_tiny, torch.device("cpu")):
    pass
