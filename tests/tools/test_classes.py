import pytest

from progan.checkpoint import ModelFile
from tests.tools.making import small_generator
from tools.class_rows import ClassRows
from tools.classes import class_names, readable, told
from tools.watching import sample_classes


def test_names_stay_on_their_line_and_drive_no_terminal() -> None:
    assert readable("no glasses") == "no glasses"
    assert readable("Äpfel 蘋果") == "Äpfel 蘋果"
    for name in ("a\nb", "\x1b[2Jgone", "half\udcff", "\u202eback"):
        assert readable(name).isprintable()
        assert readable(name).isascii()


def test_names_are_told_so_far_as_they_can_be_read() -> None:
    assert told(["cat", "dog"]) == "cat, dog"
    many = told([f"c{n}" for n in range(1000)])
    assert many.startswith("c0, c1, ")
    assert many.endswith("c19 and 980 more")
    assert len(told(["x" * 10**6, "y"])) < 100


def test_classes_without_names_are_numbers() -> None:
    assert class_names(ModelFile(generator=small_generator(classes=3))) == ("0", "1", "2")
    assert class_names(ModelFile(generator=small_generator())) == ()


@pytest.mark.parametrize(
    ("resolution", "label_size", "shown"),
    [
        (32, 0, []),
        (32, 1, [0]),
        (32, 10, list(range(10))),
        (32, 1000, [0, 67, 133, 200, 266, 333, 400, 466, 533, 599, 666, 733, 799, 866, 932, 999]),
        (512, 10, [0, 3, 6, 9]),
        (1024, 10, [0, 9]),
    ],
)
def test_sample_grids_show_as_many_classes_as_fit_a_screen(
    resolution: int, label_size: int, shown: list[int]
) -> None:
    assert sample_classes(resolution, label_size) == shown


def test_a_named_class_is_never_left_out_of_a_grid() -> None:
    plan = ClassRows.plan(100, list(range(50)), None, None)
    assert (plan.classes, plan.columns, plan.bands) == (list(range(50)), 8, 1)
