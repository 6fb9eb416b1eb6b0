"""Which derivatives a pass back through a graph is made for.

PyTorch tells a function of our own which of its arguments need a derivative at all, not which of
them this pass is to give one of. Whoever asks for slopes by images alone would have those by the
weights computed, too, and thrown away.
"""

from typing import Any

import torch
from torch import Tensor


def link(tensor: Tensor) -> Tensor:
    """Give a tensor to hand to a function of our own, of which `wanted` can then tell.

    Of what hangs on a link the engine tells whether it is wanted; of a leaf of the graph, it does
    not.
    """
    return tensor.view_as(tensor)


def wanted(ctx: Any) -> list[bool]:
    """Say which of the tensors that went into a function are to get a derivative now.

    Args:
        ctx: the function's, while it is asked for its derivatives.

    Returns:
        One answer for each argument that was a tensor, in their order. Those that need derivatives
        must have been links, or results of other operations.
    """
    ask = torch._C._will_engine_execute_node
    return [node is not None and ask(node) for node, _ in ctx.next_functions]
