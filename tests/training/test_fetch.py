"""Steps whose results are fetched several at a time, as on an accelerator."""

import pytest
import torch
from test_loop import KilledError, assert_same_run, killed_before
from torch.utils._python_dispatch import TorchDispatchMode
from toy_run import compute, toy_batches, toy_stages, toy_train

from geoset import GeosetError
from geoset.training import loop
from geoset.training.fetch import steps_together
from geoset.training.log import read_log
from geoset.training.schedule import build_optimizer


@pytest.fixture(autouse=True)
def three_together(monkeypatch):
    monkeypatch.setattr(loop, "steps_together", lambda device, accumulate: 3)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that fetches after every step."""
    run = tmp_path_factory.mktemp("whole")
    toy_train(run)
    return run


@pytest.mark.parametrize(
    ("device", "accumulate", "steps"),
    [("cpu", 1, 1), ("cuda", 1, 10), ("cuda", 4, 2), ("cuda", 64, 1)],
)
def test_steps_together_by_hand(device, accumulate, steps):
    assert steps_together(torch.device(device), accumulate) == steps


@pytest.mark.parametrize("checkpoint_seconds", [0, 1e9])
def test_it_changes_neither_weights_nor_log(tmp_path, whole, checkpoint_seconds):
    toy_train(tmp_path, checkpoint_seconds=checkpoint_seconds)
    assert_same_run(tmp_path, whole)


@pytest.mark.parametrize("stage_step", [1, 3, 5, 6])
def test_a_killed_run_resumes_from_what_was_fetched(tmp_path, whole, stage_step):
    with pytest.raises(KilledError):
        toy_train(tmp_path, toy_stages(killed_before(stage_step)), checkpoint_seconds=0)
    assert len(read_log(tmp_path)) == stage_step // 3 * 3
    toy_train(tmp_path, resume=True)
    assert_same_run(tmp_path, whole)


class Waits(TorchDispatchMode):
    """Counts the operations that make the program wait for a device: values that it asks for."""

    def __init__(self):
        super().__init__()
        self.places = []
        self.place = None

    def __torch_dispatch__(self, operator, types, arguments=(), options=None):
        asking = ("_local_scalar_dense", "nonzero", "masked_select", "equal")
        if operator.overloadpacket.__name__ in asking:
            self.places.append(self.place)
        return operator(*arguments, **(options or {}))


def places_of_waits(monkeypatch, run, compute=compute, **options):
    """Train with the optimizers that CUDA devices get; return what was done at each wait."""
    waits = Waits()

    def noting(name, function):
        def call(*arguments, **options):
            before, waits.place = waits.place, name
            result = function(*arguments, **options)
            waits.place = before
            return result

        return call

    def fused(parameters, settings, fused):
        return build_optimizer(parameters, settings, fused=True)

    monkeypatch.setattr(loop, "build_optimizer", fused)
    monkeypatch.setattr(loop, "on_first", noting("save", loop.on_first))
    monkeypatch.setattr(loop._Loop, "_step", noting("step", loop._Loop._step))
    with waits:
        toy_train(run, toy_stages(compute=compute), checkpoint_seconds=1e9, **options)
    return waits.places


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_steps_wait_for_nothing(tmp_path, monkeypatch, accumulate, precision):
    options = {"accumulate": accumulate, "precision": precision}
    assert "step" not in places_of_waits(monkeypatch, tmp_path, **options)


def test_waits_are_found(tmp_path, monkeypatch):
    def asking(model, batch, generator):
        terms = compute(model, batch, generator)
        return terms | {"bias": terms["bias"].item()}

    assert places_of_waits(monkeypatch, tmp_path, asking).count("step") == 12


def test_fp16_waits_with_sgd_alone(tmp_path, monkeypatch):
    """In the 7 steps of SGD the scaler asks whether gradients overflowed; fused AdamW knows."""
    places = places_of_waits(monkeypatch, tmp_path, precision="16-mixed")
    assert places.count("step") == 7


def spoiled(*numbers):
    """A loss that is not finite at some batches of the first stage."""

    def spoiled_compute(model, batch, generator):
        terms = compute(model, batch, generator)
        return terms | {"loss": terms["loss"] * (float("nan") if batch.step in numbers else 1.0)}

    return toy_stages(compute=spoiled_compute)


def test_the_first_bad_step_is_named(tmp_path):
    """Step 5 is bad, and by it the weights and step 6, which are fetched with it; 4 is logged."""
    expected = (
        r"stage 'first', step 5 of 7: the loss is nan, with a learning rate of 0\.0268\. Its "
        r"batch: scene toy, frame 4\. The last good checkpoint is .*step-00000003\. Start again"
    )
    with pytest.raises(GeosetError, match=expected):
        toy_train(tmp_path, spoiled(4), checkpoint_seconds=0)
    assert [row["step"] for row in read_log(tmp_path)] == [1, 2, 3, 4]


def test_of_several_batches_a_step_the_bad_ones_are_named(tmp_path):
    """Batches 4 and 5 make step 3; the fourth of them is fine."""
    with pytest.raises(GeosetError, match=r"step 3 of 7: .* Its batch: scene toy, frame 5\. No"):
        toy_train(tmp_path, spoiled(5), accumulate=2)
    with pytest.raises(GeosetError, match=r"Its batch: scene toy, frame 4; scene toy, frame 5\."):
        toy_train(tmp_path, spoiled(4, 5), accumulate=2, resume=True)


def test_the_mended_run_continues(tmp_path, whole):
    with pytest.raises(GeosetError):
        toy_train(tmp_path, spoiled(4), checkpoint_seconds=0)
    toy_train(tmp_path, resume=True)
    assert_same_run(tmp_path, whole)


def test_terms_that_change_their_names(tmp_path):
    def changing(model, batch, generator):
        terms = compute(model, batch, generator)
        return terms | ({"matches": 3} if batch.step == 1 else {})

    expected = (
        "the loss function returned the terms loss, bias, count, matches, and before them loss, "
        "bias, count; return the same names at every step of a stage"
    )
    with pytest.raises(GeosetError, match=expected):
        toy_train(tmp_path, toy_stages(compute=changing))


def test_batches_that_cannot_be_described(tmp_path):
    def bare(first, rank, world):
        return ({"x": batch.x, "y": batch.y} for batch in toy_batches(first, rank, world))

    def nan(model, batch, generator):
        return {"loss": model(batch["x"]).mean() * float("nan")}

    with pytest.raises(GeosetError, match=r"with a learning rate of 0\.05\. No checkpoint exists"):
        toy_train(tmp_path, toy_stages(bare, nan))
