"""Where a run tried again is part of what it is a function of."""

import pytest
import torch

from progan import draws
from progan.attempts import Attempts
from progan.draws import Purpose
from progan.errors import ProganError
from progan.training import Trainer, train
from tests.progan.making import Patterns, small_config
from tests.progan.making import one_thread as one_thread

pytestmark = pytest.mark.usefixtures("one_thread")


def test_an_attempt_holds_from_where_it_began_until_another_begins_before_it() -> None:
    attempts = Attempts().again(100).again(200)
    assert [attempts.at(nimg) for nimg in (0, 99, 100, 199, 200, 10**9)] == [0, 0, 1, 1, 2, 2]
    further_back = attempts.again(50)
    assert further_back.begun == ((50, 3),)
    assert [further_back.at(nimg) for nimg in (49, 50, 150, 250)] == [0, 3, 3, 3]
    # The same place again is another attempt, and takes the place of the one before.
    assert attempts.again(200).begun == ((100, 1), (200, 3))
    assert (Attempts().count, attempts.count, further_back.count) == (0, 2, 3)
    assert Attempts.of_history([{"nimg": 100}, {"nimg": 200}, {"nimg": 50}]) == further_back


def test_a_checkpoint_holds_it_and_nothing_where_there_is_nothing() -> None:
    attempts = Attempts().again(0).again(300)
    assert Attempts.of_tensor(attempts.tensors()["attempts"]) == attempts
    assert Attempts().tensors() == {}
    assert Attempts.of_tensor(None) == Attempts()


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(3), torch.zeros(2, 2), torch.zeros(3, dtype=torch.int64),
        torch.zeros(2, 3, dtype=torch.int64), torch.tensor([[5, 1], [5, 2]]),
        torch.tensor([[5, 2], [6, 2]]), torch.tensor([[-1, 1]]), torch.tensor([[0, 0]]),
        torch.tensor([[0, 2**40]]), torch.zeros(2**17, 2, dtype=torch.int64),
    ],
)  # fmt: skip
def test_what_no_run_wrote_is_refused(tensor: torch.Tensor) -> None:
    with pytest.raises(ProganError, match="attempts"):
        Attempts.of_tensor(tensor)


def test_a_history_is_what_going_back_time_and_again_makes_of_it() -> None:
    places = draws.whole(0, Purpose.CRITIC_LABELS, 0, 60, 20).tolist()
    attempts = Attempts()
    for count, nimg in enumerate(places, 1):
        attempts = attempts.again(nimg)
        assert Attempts.of_history([{"nimg": each} for each in places[:count]]) == attempts


def test_a_long_history_is_gone_through_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = []
    usual = Attempts.__post_init__

    def count(self: Attempts) -> None:
        looked_at.append(len(self.begun))
        usual(self)

    monkeypatch.setattr(Attempts, "__post_init__", count)
    most = 2**16 - 1
    attempts = Attempts.of_history([{"nimg": nimg} for nimg in range(most)])
    assert attempts.begun[-1] == (most - 1, most)
    assert sum(looked_at) <= most
    # Which attempt it is must fit the place that draws have for it, however far it goes back.
    with pytest.raises(ProganError, match="one after the other"):
        Attempts.of_history([{"nimg": 0}] * (most + 1))


@pytest.mark.parametrize("nimg", [None, -1, "0", True, 0.5, 2**62])
def test_a_history_that_is_none_is_refused(nimg: object) -> None:
    with pytest.raises(ProganError, match="went back"):
        Attempts.of_history([{"nimg": nimg}])
    with pytest.raises(ProganError, match="went back"):
        Attempts.of_history([{"nimg": nimg}, {"nimg": 0}])


def test_another_attempt_draws_other_numbers_and_the_first_the_usual_ones() -> None:
    place = (3, Purpose.CRITIC_LATENTS, 640)
    usual = draws.normal(*place, (64,))
    assert torch.equal(draws.normal(*place, (64,), attempt=0), usual)
    assert not torch.isin(draws.normal(*place, (64,), attempt=1), usual).any()
    uniform = draws.uniform(3, Purpose.MIXING, 640, 64)
    assert not torch.isin(draws.uniform(3, Purpose.MIXING, 640, 64, attempt=1), uniform).any()
    whole = draws.whole(3, Purpose.CRITIC_LABELS, 640, 64, 10**9)
    other = draws.whole(3, Purpose.CRITIC_LABELS, 640, 64, 10**9, attempt=2)
    assert not torch.isin(other, whole).any()


def test_another_attempt_draws_all_that_a_step_draws_anew() -> None:
    config = small_config(
        minibatch="64", label_size=3, share_labels=False, objective="logistic", augment="cutout"
    )
    inputs = Trainer(config, Patterns(classes=3)).step.inputs
    usual, other = (inputs._made(2, 0, 64, tuple(range(64)), attempt) for attempt in (0, 1))
    # The photographs, and so their labels, come in the same order: it is part of the data.
    assert torch.equal(usual["pixels"], other["pixels"])
    drawn = usual.keys() - {"pixels", "labels"}
    assert drawn >= {"flips", "mixing", "CRITIC_LATENTS", "GENERATOR_LABELS", "AUGMENTED_REALS"}
    for name in drawn:
        assert not torch.equal(usual[name], other[name]), name


def trained(attempts: Attempts, *, classes: int = 0, kimg: float = 0.16) -> Trainer:
    config = small_config(kimg=kimg, label_size=classes)
    trainer = Trainer(config, Patterns(classes=classes))
    trainer.attempts = attempts
    assert train(trainer)
    return trainer


def test_a_run_that_went_back_is_a_function_of_where_it_did() -> None:
    straight = trained(Attempts(), classes=2, kimg=0.08)
    first = trained(Attempts(), classes=2)
    # Back to 80 images, and on with other noise.
    again = Trainer(small_config(label_size=2, kimg=0.16), Patterns(classes=2))
    again.restore(first.state(), 160)
    again.restore(straight.state(), 80)
    again.attempts = again.attempts.again(80)
    again.round()
    # Killed, and continued from its checkpoint.
    continued = Trainer(again.config, again.data)
    continued.restore({n: t.clone() for n, t in again.state().items()}, again.nimg)
    assert continued.attempts == Attempts(((80, 1),))
    assert train(continued)

    repeated = trained(Attempts(((80, 1),)), classes=2)
    assert repeated.state().keys() == continued.state().keys()
    for name, tensor in repeated.state().items():
        assert torch.equal(continued.state()[name], tensor), name
    # All that is drawn differs, and so do the weights.
    other = first.state()
    assert not torch.equal(other["critic.blocks.2.conv.weight"],
                           repeated.state()["critic.blocks.2.conv.weight"])  # fmt: skip


def test_a_state_that_is_taken_up_forgets_what_was_skipped_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trainer = Trainer(small_config(), Patterns())
    state = {n: t.clone() for n, t in trainer.state().items()}
    trainer._worst_row += 20
    trainer._skipped_now += 20
    trainer.round()
    trainer.restore(state, 0)
    trainer.check()
    assert (trainer.skipped, trainer.nimg, trainer.scalars()) == (0, 0, {})
