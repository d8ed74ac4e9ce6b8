"""What is sent as plain bytes arrives as it was."""

import pickle
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from mimi_dynamics.pipeline.plain_bytes import PlainBytes


def sent(value: Any) -> Any:  # noqa: ANN401
    """What arrives."""
    return pickle.loads(pickle.dumps(PlainBytes(value)))


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(6.0).reshape(2, 3),
        torch.arange(6.0).reshape(2, 3).T,
        torch.arange(24.0).reshape(2, 3, 4).permute(2, 0, 1),
        torch.tensor([1, 2], dtype=torch.bfloat16),
        torch.tensor([True, False]),
        torch.tensor(2.5, dtype=torch.float64),
        torch.empty(0, 4, dtype=torch.int64),
        torch.tensor([float("nan"), float("-inf"), -0.0]),
    ],
    ids=str,
)
def test_every_kind_of_tensor(tensor: torch.Tensor) -> None:
    arrived = sent(tensor)
    assert (arrived.shape, arrived.dtype) == (tensor.shape, tensor.dtype)
    assert arrived.stride() == tensor.stride()  # sums depend on the order in memory
    assert arrived.contiguous().view(-1).equal(tensor.contiguous().view(-1)) or tensor.isnan().any()
    if tensor.numel():
        arrived.zero_()  # it can be written to


def test_a_slice_is_sent_without_its_gaps() -> None:
    slices = torch.arange(24.0).reshape(2, 3, 4).transpose(1, 2)[:, :, ::2]
    arrived = sent(slices)
    assert arrived.equal(slices)
    assert arrived.stride() == (8, 1, 4)


def test_a_view_is_as_large_as_what_it_shows() -> None:
    long = torch.zeros(100_000)
    clips = [long[start : start + 10] for start in range(0, 1_000, 10)]
    assert len(pickle.dumps(PlainBytes(clips))) < 50_000
    assert torch.stack(sent(clips)).shape == (100, 10)


def test_the_same_tensor_twice_is_sent_once() -> None:
    tensor = torch.zeros(1_000)
    first, second = sent([tensor, tensor])
    assert first is second


def test_models_and_calls() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    arrived = sent(partial(model, torch.ones(2, 3)))
    assert arrived().equal(model(torch.ones(2, 3)))
    assert all(parameter.requires_grad for parameter in sent(model).parameters())


def test_it_is_turned_into_bytes_when_it_is_sent() -> None:
    value = [1]
    waiting = PlainBytes(value)
    value.append(2)
    assert pickle.loads(pickle.dumps(waiting)) == [1, 2]
