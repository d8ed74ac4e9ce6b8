"""The benchmark counts what operations do."""

import pytest

from encoder_layers import bytes_moved, operations


@pytest.mark.parametrize(
    ("name", "shapes", "expected"),
    [
        ("aten::mm", [(3, 5), (5, 7)], 2 * 3 * 5 * 7),
        ("aten::addmm_", [(3, 7), (3, 5), (5, 7)], 2 * 3 * 5 * 7),
        ("aten::addmm", [(7,), (3, 5), (5, 7), (3, 7)], 2 * 3 * 5 * 7),  # with its output
        ("aten::bmm", [(2, 3, 5), (2, 5, 7)], 2 * 2 * 3 * 5 * 7),
        ("aten::elu_", [(3, 5)], 0),
    ],
)
def test_a_product_is_as_many_sums(name: str, shapes: list[tuple[int, ...]], expected: int) -> None:
    assert operations(name, shapes) == expected
    assert (bytes_moved(name, shapes) == 0) == (expected > 0)


def test_what_works_on_single_numbers_moves_them() -> None:
    assert bytes_moved("aten::elu_", [(3, 5)]) == 60  # 15 numbers of 4 bytes, there and back
    assert bytes_moved("aten::fill_", [(3, 5)]) == 30
    assert bytes_moved("aten::view", [(3, 5)]) == 0
