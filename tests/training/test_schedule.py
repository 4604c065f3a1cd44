import math

import pytest
import torch
from torch import nn

from geoset import GeosetError
from geoset.training.schedule import (
    OptimizerSettings,
    batchnorm_momentum,
    build_optimizer,
    learning_rate,
    parameter_groups,
    set_batchnorm_momentum,
    set_learning_rate,
)


def test_polynomial_schedule_by_hand():
    """lr 0.1 over 9 steps: 0.1 * (1 - step / 10) ** 0.9, the last being 0.1 * 0.2 ** 0.9."""
    settings = OptimizerSettings(lr=0.1)
    assert learning_rate(settings, 0, 9) == 0.1
    assert learning_rate(settings, 5, 9) == pytest.approx(0.1 * 0.535886731)
    assert learning_rate(settings, 8, 9) == pytest.approx(0.1 * 0.234923789)


def test_cosine_and_constant_schedules():
    cosine = OptimizerSettings(lr=2.0, schedule="cosine")
    assert [learning_rate(cosine, step, 4) for step in range(4)] == pytest.approx(
        [2.0, 1 + math.sqrt(0.5), 1.0, 1 - math.sqrt(0.5)]
    )
    constant = OptimizerSettings(lr=2.0, schedule="constant")
    assert learning_rate(constant, 3, 4) == 2.0


def test_a_rate_that_falls_in_steps():
    """To a tenth after a half and after three quarters of 8 steps."""
    settings = OptimizerSettings(lr=1.0, schedule="steps", falls=(0.5, 0.75))
    rates = [learning_rate(settings, step, 8) for step in range(8)]
    assert rates == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01])


@pytest.mark.parametrize("falls", [(0.5, 0.5), (0.9, 0.5), (1.0,), (0.0,), (-0.5,)])
def test_wrong_falls(falls):
    with pytest.raises(GeosetError, match=r"falls are .*; expected growing shares between 0 and 1"):
        OptimizerSettings(schedule="steps", falls=falls)


def test_warmup_rises_linearly_to_the_schedule():
    """With 4 steps of warm-up the factors are 1/5, 2/5, 3/5, 4/5, 1, 1."""
    settings = OptimizerSettings(lr=1.0, schedule="constant", warmup=4)
    factors = [learning_rate(settings, step, 10) for step in range(6)]
    assert factors == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])


def test_batchnorm_momentum_halves_every_twenty_steps():
    settings = OptimizerSettings(batchnorm_decay=True)
    assert [batchnorm_momentum(settings, step, 10_000) for step in (0, 19, 20, 40)] == [
        0.5,
        0.5,
        0.25,
        0.125,
    ]
    assert batchnorm_momentum(settings, 160, 10_000) == 0.5**9  # 0.00195
    assert batchnorm_momentum(settings, 180, 10_000) == 0.001  # 0.5 ** 10 = 0.00098


def test_batchnorm_momentum_stays_in_short_stages():
    assert batchnorm_momentum(OptimizerSettings(batchnorm_decay=True), 500, 9_999) == 0.1
    assert batchnorm_momentum(OptimizerSettings(), 500, 10_000) == 0.1


def test_batchnorm_momentum_reaches_every_layer():
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)))
    set_batchnorm_momentum(model, 0.25)
    assert (model[0].momentum, model[1][1].momentum) == (0.25, 0.25)


def test_sgd_by_hand():
    """Gradient 1 at each step, lr 1, momentum 0.9, dampening 0.1.

    Velocity: 1 (the first is not dampened), then 0.9 + 0.9 = 1.8; the weight 0, -1, -2.8.
    """
    weight = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = build_optimizer([weight], OptimizerSettings(lr=1.0))
    for expected in (-1.0, -2.8):
        weight.grad = torch.ones_like(weight)
        optimizer.step()
        assert weight.item() == pytest.approx(expected)


def test_sgd_decays_weights():
    weight = nn.Parameter(torch.full((1,), 2.0))
    weight.grad = torch.zeros_like(weight)
    build_optimizer([weight], OptimizerSettings(lr=0.5, weight_decay=0.25)).step()
    assert weight.item() == 2 - 0.5 * 0.25 * 2


def test_adamw_and_learning_rate():
    weight = nn.Parameter(torch.zeros(1))
    settings = OptimizerSettings("adamw", lr=0.5, weight_decay=0.25)
    optimizer = build_optimizer([weight], settings)
    assert isinstance(optimizer, torch.optim.AdamW)
    assert optimizer.param_groups[0]["weight_decay"] == 0.25
    set_learning_rate(optimizer, 0.125)
    assert optimizer.param_groups[0]["lr"] == 0.125


def test_groups_learn_at_their_factor_of_the_rate():
    """lr 0.5 on gradients of 1: the encoder goes 0.1 of the way of the rest."""
    model = nn.ModuleDict({name: nn.Linear(1, 1, bias=False) for name in ("head", "encoder")})
    groups = parameter_groups(model, {"encoder.": 0.1})
    optimizer = build_optimizer(groups, OptimizerSettings(lr=1.0))
    before = {name: layer.weight.item() for name, layer in model.items()}
    set_learning_rate(optimizer, 0.5)
    for layer in model.values():
        layer.weight.grad = torch.ones_like(layer.weight)
    optimizer.step()
    moved = {name: before[name] - layer.weight.item() for name, layer in model.items()}
    assert moved == pytest.approx({"head": 0.5, "encoder": 0.05})


def test_without_factors_there_is_one_group():
    model = nn.Linear(2, 3)
    (group,) = parameter_groups(model, {})
    assert (len(group["params"]), group["lr_factor"]) == (2, 1.0)


def test_a_factor_for_nothing_is_refused():
    model = nn.ModuleDict({"head": nn.Linear(1, 1), "body": nn.Linear(1, 1)})
    with pytest.raises(
        GeosetError, match=r"'encoder.', but no parameter of ModuleDict starts so; .* head, body$"
    ):
        parameter_groups(model, {"encoder.": 0.1})


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_a_first_step_that_overflows_leaves_no_trace(kind):
    """Torch's own fused SGD would start its momentum from memory that was never set."""
    weight, plain = nn.Parameter(torch.zeros(64)), nn.Parameter(torch.zeros(64))
    scaler = torch.amp.GradScaler("cpu", init_scale=16.0)
    settings = OptimizerSettings(kind, lr=1.0)
    optimizer, expected = (build_optimizer([w], settings, fused=True) for w in (weight, plain))
    for factor in (math.inf, 1.0, 1.0):
        weight.grad = None
        scaler.scale((weight * factor).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        if factor == 1.0:
            plain.grad = torch.ones_like(plain)
            expected.step()
        torch.testing.assert_close(weight, plain)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"kind": "lamb"}, "kind is 'lamb'; choose from sgd, adamw"),
        ({"schedule": "step"}, "schedule is 'step'; choose from poly, cosine, steps, constant"),
        ({"lr": 0.0}, "lr is 0.0; expected a number above 0, such as 0.1"),
        ({"lr": float("nan")}, "lr is nan; expected a number above 0"),
        ({"momentum": 1.0}, "momentum is 1.0; expected 0 <= momentum < 1"),
        ({"warmup": -1}, "warmup is -1; expected 0 or more"),
    ],
)
def test_bad_settings(setting, message):
    with pytest.raises(GeosetError, match=message):
        OptimizerSettings(**setting)
