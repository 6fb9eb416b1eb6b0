"""Inputs made ahead: the same ones, made once, in the queue where they belong."""

import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from progan.ahead import Ahead, Place, Transfer
from progan.draws import Purpose
from progan.inputs import Inputs
from progan.parallel import Processes
from progan.training import Trainer
from tests.progan.making import Patterns, small_config
from tests.progan.making import one_thread as one_thread

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")


class Maker:
    """Notes what is made, and in which thread."""

    def __init__(self) -> None:
        self.made: list[tuple[int, bool]] = []

    def __call__(
        self, level: int, nimg: int, count: int, rows: tuple[int, ...], attempt: int
    ) -> dict[str, Any]:
        main = threading.current_thread() is threading.main_thread()
        self.made.append((nimg, main))
        if nimg < 0:
            raise OSError("the disk is gone")
        return {"numbers": torch.tensor([float(nimg)])}


def place(nimg: int) -> Place:
    return 4, nimg, 8, (0, 1), 0


def test_what_comes_next_is_made_in_a_thread_and_only_once() -> None:
    maker = Maker()
    inputs = Ahead(maker, CPU, ahead=True)
    for nimg in (0, 0, 8, 16, 16):
        assert inputs.take(place(nimg), place(nimg + 8))["numbers"].item() == nimg
    assert inputs.take(place(800), place(808))["numbers"].item() == 800  # a surprise
    assert inputs.take(place(808), place(816))["numbers"].item() == 808
    made = sorted(nimg for nimg, _ in maker.made)
    assert made[:3] == [0, 8, 16] and made.count(800) == made.count(808) == 1
    assert not any(main for _, main in maker.made)


def test_a_processor_makes_inputs_when_they_are_wanted() -> None:
    maker = Maker()
    inputs = Ahead(maker, CPU)
    inputs.take(place(0), place(8))
    inputs.take(place(0), place(8))
    assert maker.made == [(0, True)]


def test_what_goes_wrong_ahead_is_told_when_it_is_wanted() -> None:
    inputs = Ahead(Maker(), CPU, ahead=True)
    inputs.take(place(0), place(-8))
    with pytest.raises(OSError, match="disk"):
        inputs.take(place(-8), place(0))


class FakeCard:
    """Queues and events that only note what is asked of them, in its order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.said: list[str] = []
        self.queue = "main"
        said = self.said

        class Queue:
            def __init__(self, name: Any = "side") -> None:
                self.name = name if isinstance(name, str) else "side"
                self.device = name

            def wait_event(self, event: Any) -> None:
                said.append(f"{self.name} waits")

            def __enter__(self) -> None:
                said.append(f"enter {self.name}")

            def __exit__(self, *error: object) -> None:
                said.append(f"leave {self.name}")

        class Event:
            def record(self, queue: Queue) -> None:
                said.append(f"{queue.name} will tell")

        cuda = SimpleNamespace(
            Stream=Queue,
            Event=Event,
            stream=lambda queue: queue,
            current_stream=lambda device: Queue("main"),
            set_device=lambda device: said.append(f"at {device}"),
        )
        monkeypatch.setattr(torch, "cuda", cuda)
        monkeypatch.setattr(Tensor, "pin_memory", lambda tensor: self.pin(tensor))
        monkeypatch.setattr(Tensor, "to", lambda tensor, *to, **how: self.to(tensor, *to, **how))
        monkeypatch.setattr(
            Tensor, "record_stream", lambda tensor, queue: said.append(f"kept for {queue.name}")
        )

    def pin(self, tensor: Tensor) -> Tensor:
        self.said.append("pinned")
        return tensor

    def to(self, tensor: Tensor, device: torch.device, *, non_blocking: bool) -> Tensor:
        assert non_blocking
        self.said.append("copied")
        return tensor


def test_the_main_queue_waits_for_the_copy_and_the_program_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    card = FakeCard(monkeypatch)
    transfer = Transfer(torch.device("cuda", 0))
    sent, arrived = transfer.send({"numbers": torch.zeros(1)})
    assert card.said == ["pinned", "enter side", "copied", "side will tell", "leave side"]
    card.said.clear()
    assert transfer.receive(sent, arrived) is sent
    assert card.said == ["main waits", "kept for main"]


def test_the_thread_that_makes_inputs_stands_at_its_own_card(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    card = FakeCard(monkeypatch)
    inputs = Ahead(Maker(), torch.device("cuda", 2))
    inputs.take(place(0), place(8))
    # Else it would stand at the first, which may be another process's, and full.
    assert card.said[0] == "at cuda:2"
    assert "copied" in card.said


def test_inputs_made_ahead_change_no_bit() -> None:
    config = small_config(label_size=3)
    states = []
    for early in (False, True):
        trainer = Trainer(config, Patterns(classes=3))
        inputs = trainer.step.inputs
        inputs._ahead = Ahead(inputs._made, CPU, ahead=early)
        while trainer.nimg < 160:  # through a held level, a fade, and into the next phase
            trainer.round()
        states.append(trainer.state())
    assert all(torch.equal(states[1][name], tensor) for name, tensor in states[0].items())


class ByRows(Patterns):
    """Notes the rows that are read."""

    def __init__(self) -> None:
        super().__init__(classes=3)
        self.read: list[list[int]] = []

    def rows_of_minibatch(
        self, level: int, position: int, count: int, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray | None]:
        self.read.append(rows.tolist())
        pixels, labels = self.minibatch(level, position, count)
        return pixels[rows], None if labels is None else labels[rows]


def test_a_process_reads_its_own_rows_and_no_others() -> None:
    config = small_config(label_size=3)
    stage = config.schedule.at(64)
    rows = Processes(1, 2).share(8, 4)
    parts = [rows[:2], rows[2:]]
    data = ByRows()
    found = []
    for source in (data, Patterns(classes=3)):
        inputs = Inputs(config, source, latent_size=5, device=CPU)
        purposes = Purpose.CRITIC_LATENTS, Purpose.CRITIC_LABELS
        latents = inputs.latents(*purposes, stage, 64, parts)
        found.append([*inputs.reals(stage, 64, parts), *latents])
    assert data.read == [[1, 3, 5, 7]]
    for mine, expected in zip(*found, strict=True):
        for one, other in zip(mine, expected, strict=True):
            assert one is not None and other is not None and torch.equal(one, other)


class Questions(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes operations whose result the program would have to wait for on a graphics card."""

    ASKING = ("_local_scalar_dense", "nonzero", "is_nonzero", "equal", "masked_select", "unique")

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.asked: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name().removeprefix("aten::").split(".")[0]
        if any(name.startswith(asking) for asking in self.ASKING):
            self.asked.append(name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_a_step_asks_the_device_nothing(precision: str) -> None:
    trainer = Trainer(small_config(precision=precision), Patterns())
    for _ in range(5):
        trainer.round()
    with Questions() as questions:
        trainer.step(trainer.stage, trainer.nimg)
    assert questions.asked == []
    with Questions() as questions:
        trainer.check()  # what is noticed here would be noticed there
    assert "_local_scalar_dense" in questions.asked
