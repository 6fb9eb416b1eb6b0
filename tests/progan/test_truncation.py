from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from progan.errors import ProganError
from progan.labels import ClassWalk
from progan.latents import latents_of_seeds
from progan.networks import Generator
from progan.truncation import truncate


def generator(classes: int = 0, level: int = 4, fade: float = 1.0) -> Generator:
    torch.manual_seed(0)
    made = Generator(resolution=16, label_size=classes, fmap_base=64, fmap_max=16)
    return made.requires_grad_(False).stand(level, fade)


def points(count: int, size: int = 16) -> Tensor:
    return torch.from_numpy(latents_of_seeds(range(count), size))


def spread(images: Tensor) -> float:
    return float(images.var(dim=0).mean())


def test_without_truncation_nothing_changes_to_the_last_bit() -> None:
    plain, same = generator(), generator()
    truncate(same, 1)
    assert torch.equal(plain(points(9)), same(points(9)))


def test_pictures_vary_less_the_more_is_truncated() -> None:
    found = []
    for psi in (1, 0.9, 0.7, 0.5, 0.2, 0):
        made = generator()
        truncate(made, psi)
        found.append(spread(made(points(200))))
    for more, less in pairwise(found):
        assert less < more
    assert found[3] < 0.85 * found[0]
    assert found[-1] < 1e-9


def test_a_picture_stays_nearest_to_itself() -> None:
    plain, half = generator(), generator()
    truncate(half, 0.7)
    first, second = plain(points(40)).flatten(1), half(points(40)).flatten(1)
    assert torch.equal(torch.cdist(second, first).argmin(dim=1), torch.arange(40))


@pytest.mark.parametrize(("level", "fade"), [(2, 1.0), (3, 0.3), (4, 0.5)])
def test_features_are_those_of_the_definition(level: int, fade: float) -> None:
    plain, made = generator(level=level, fade=fade), generator(level=level, fade=fade)
    truncate(made, 0.6)
    block = plain.blocks["2"]
    many = torch.randn(20_000, 16, generator=torch.Generator().manual_seed(5))
    mean = block(many / many.square().mean(dim=1, keepdim=True).sqrt()).mean(dim=0)
    found: list[Tensor] = []
    made.blocks["2"].register_forward_hook(lambda _, __, output: found.append(output))
    images = made(points(5))
    expected = mean + 0.6 * (block(points(5)) - mean)
    expected = expected / expected.square().mean(dim=1, keepdim=True).sqrt()
    # The mean is taken over a thousand pictures.
    assert (found[0] - expected).abs().mean() < 0.02
    assert images.shape == plain(points(5)).shape


def test_every_class_has_an_average_of_its_own() -> None:
    plain, made = generator(classes=3), generator(classes=3)
    truncate(made, 0)
    labels = torch.arange(3)
    averages = made(points(3), labels)
    for number in range(3):
        same = made(points(4), torch.full((4,), number))
        assert torch.allclose(same, averages[number].expand(4, -1, -1, -1), atol=1e-5)
        features = plain.blocks["2"]
        many = torch.randn(20_000, 16, generator=torch.Generator().manual_seed(5))
        one_hot = torch.eye(3)[number].expand(20_000, 3)
        x = torch.cat([many, one_hot], dim=1)
        mean = features(x / x.square().mean(dim=1, keepdim=True).sqrt()).mean(dim=0)
        plain.blocks["2"].register_forward_hook(
            lambda _, __, output, mean=mean: (mean / mean.square().mean(dim=0).sqrt()).expand_as(
                output
            )
        )
        expected = plain(points(1), labels[number : number + 1])[0]
        plain = generator(classes=3)
        assert (averages[number] - expected).abs().mean() < 0.05
    assert (averages[0] - averages[1]).abs().mean() > 0.1


def test_the_way_from_class_to_class_has_no_jump() -> None:
    made = generator(classes=3)
    truncate(made, 0.3)
    walk = ClassWalk(frames=80, cells=1, first=2, second=0, label_size=3)
    weights = torch.from_numpy(walk.chunk(0, 80)[:, 0])
    images = made(points(1).expand(80, -1), weights)
    ends = made(points(1).expand(2, -1), torch.tensor([2, 0]))
    assert torch.allclose(images[[0, 40]], ends, atol=1e-4)
    steps = (images - images.roll(-1, dims=0)).abs().mean(dim=(1, 2, 3))
    assert steps.max() < 0.1 * (ends[0] - ends[1]).abs().mean()


@pytest.mark.parametrize("psi", [-0.1, 1.1, float("nan")])
def test_other_numbers_are_refused(psi: float) -> None:
    with pytest.raises(ProganError, match="truncation must be from 0 to 1"):
        truncate(generator(), psi)


def test_it_does_not_depend_on_who_is_drawn_beside_whom() -> None:
    made = generator(classes=2)
    truncate(made, 0.5)
    labels = torch.tensor([0, 1, 1, 0])
    together = made(points(4), labels)
    alone = [made(points(4)[n : n + 1], labels[n : n + 1]) for n in range(4)]
    assert np.allclose(together, torch.cat(alone), atol=1e-5)
