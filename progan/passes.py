"""Passes through the networks as functions of tensors: done as they are, or compiled.

PyTorch cannot differentiate twice through what it has compiled. So nothing that is compiled here
has derivatives: a pass with all its derivatives, the second ones of the gradient penalty included,
is first recorded as one list of plain operations, and that list is compiled. What changes from step
to step goes in as tensors, the fade among them; so a phase of growth needs one recording of each
pass, and the next phase others.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch._dynamo.exc import TorchDynamoException
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from progan.convolution import plain_convolutions
from progan.errors import ProganError
from progan.growing import SharedWeights
from progan.objectives import Scalars

# Gradients of the wanted weights, the objective, and its terms.
Found = tuple[Sequence[Tensor], Tensor, Scalars]
Objective = Callable[..., tuple[Tensor, Scalars]]
# What is done with a list of tensors, weights among them.
Recording = Callable[[list[Tensor]], Any]
_Result = TypeVar("_Result")


class Passes(ABC):
    """Passes through the networks; how they are done is left to the classes below."""

    keeps_graphs: bool
    """Whether images of `images` can have a graph, and objectives may use it."""

    def images(
        self, weights: SharedWeights, latents: Tensor, labels: Tensor | None, *, graph: bool
    ) -> Tensor:
        """Make a generator's images; with their graph, if that is asked for and can be."""

        def made(latents: Tensor, labels: Tensor | None) -> Tensor:
            with torch.set_grad_enabled(graph and self.keeps_graphs):
                found: Tensor = weights.network(latents, labels)
            return found

        return self._run("images", [weights], made, [latents, labels])

    def gradients(
        self,
        task: Hashable,
        wanted: SharedWeights,
        others: Sequence[SharedWeights],
        objective: Objective,
        tensors: Sequence[Tensor | None],
        factor: Tensor | float,
    ) -> Found:
        """Take the gradients of an objective.

        Args:
            task: names what is not a tensor and changes what is done.
            wanted: what gradients are taken of.
            others: those of other networks that take part.
            objective: gives what is minimized, and its terms; a function of `tensors`, of the
                weights of these networks, and of where they stand, and of nothing else that changes
                while `task` is the same.
            tensors: its arguments.
            factor: by which the objective is multiplied before gradients are taken.

        Returns:
            Gradients of `wanted.used` times the factor; the objective and its terms without it.
        """

        def found(factor: Tensor | float, *tensors: Tensor | None) -> Found:
            with torch.enable_grad():
                loss, scalars = objective(*tensors)
                # Asking for these alone spares the other network's weight gradients.
                return torch.autograd.grad(loss * factor, wanted.used), loss.detach(), scalars

        return self._run(task, [wanted, *others], found, [factor, *tensors])

    @abstractmethod
    def _run(
        self,
        task: Hashable,
        weights: Sequence[SharedWeights],
        function: Callable[..., _Result],
        arguments: Sequence[Tensor | float | None],
    ) -> _Result:
        """Give what a function of `arguments` and of some networks' weights gives.

        The weights that gradients are taken of come first. `task` is as for `gradients`.
        """


class Direct(Passes):
    """Does everything at once, one operation after the other."""

    keeps_graphs = True

    def _run(
        self,
        task: Hashable,
        weights: Sequence[SharedWeights],
        function: Callable[..., _Result],
        arguments: Sequence[Tensor | float | None],
    ) -> _Result:
        return function(*arguments)


class Compiled(Passes):
    """Records each pass when it is first asked for, and compiles it, which may take minutes.

    Images have no graph, so that what was to be learned from them twice is made twice.

    Args:
        compiler: makes a quicker function of what was recorded; by default PyTorch's own, which
            makes few kernels of many operations.
    """

    keeps_graphs = False

    def __init__(self, compiler: Callable[[GraphModule], Recording] | None = None) -> None:
        # Else the compiler would time kernels that add in other orders, and take the quickest.
        alike = {"deterministic": True}
        self._compiler = compiler or partial(torch.compile, dynamic=False, options=alike)
        self._known: dict[Hashable, Recording] = {}

    def _run(
        self,
        task: Hashable,
        weights: Sequence[SharedWeights],
        function: Callable[..., _Result],
        arguments: Sequence[Tensor | float | None],
    ) -> _Result:
        networks = [each.network for each in weights]
        device = weights[0].used[0].device
        # A number would become a part of the recording.
        tensors = [
            torch.full((), value, device=device) if isinstance(value, int | float) else value
            for value in arguments
        ]
        fades = [torch.full((), network.fade, device=device) for network in networks]
        given = [tensor for tensor in tensors if tensor is not None]
        flat = [*fades, *(tensor.detach() for each in weights for tensor in each.used), *given]
        key = (
            task,
            tuple((network.level, network.fade < 1) for network in networks),
            tuple(tensor is None for tensor in tensors),
            tuple((tensor.shape, tensor.dtype) for tensor in flat),
        )
        known = self._known.get(key)
        if known is not None:
            found: _Result = known(flat)
            return found

        def recorded(flat: list[Tensor]) -> Any:
            rest = iter(flat)
            fades = [next(rest) for _ in weights]
            used = [[next(rest).detach() for _ in each.used] for each in weights]
            if torch.is_grad_enabled():
                used[0] = [tensor.requires_grad_() for tensor in used[0]]
            again = [None if tensor is None else next(rest) for tensor in tensors]
            with ExitStack() as stack:
                for each, network, pieces, fade in zip(weights, networks, used, fades, strict=True):
                    stack.enter_context(each.replaced(pieces))
                    stack.enter_context(network.faded_by(fade))
                return function(*again)

        try:
            # The compiler makes its own choice of how to convolve.
            with plain_convolutions():
                graph = make_fx(recorded, tracing_mode="fake")(flat)
            # It would be the same at every step.
            if any(node.op == "get_attr" for node in graph.graph.nodes):
                raise ValueError(f"pass {task} takes a tensor that is not among its arguments")
            known = self._known[key] = self._compiler(graph)
            found = known(flat)
        except torch.OutOfMemoryError:
            raise
        except TorchDynamoException as error:
            reason = " ".join(str(error).split("\n")[:2])
            raise ProganError(
                f"training cannot be compiled on this machine ({reason}): leave --compile away"
            ) from None
        return found
