"""Number formats, and compiled networks."""

import itertools
from functools import partial

import pytest
import torch
from safetensors.torch import load_file
from test_loop import KilledError, assert_same_run, killed_before
from torch import nn
from toy_run import compute, toy_model, toy_stages, toy_train

from geoset.training.checkpoint import newest_checkpoint
from geoset.training.log import read_log
from geoset.training.loop import compiled
from geoset.training.schedule import set_batchnorm_momentum


def seen_dtypes(tmp_path, precision, accelerator):
    """Train, and return the number formats of the first layer's output, features, and weights."""
    seen = set()

    def watching(model, batch, generator):
        hook = model.module[0].register_forward_hook(lambda *call: inside.append(call[2].dtype))
        inside = []
        terms = compute(model, batch, generator)
        hook.remove()
        seen.add((*inside, model(batch.x).dtype, model.module[0].weight.dtype))
        return terms

    toy_train(tmp_path, toy_stages(compute=watching), precision=precision, accelerator=accelerator)
    return seen


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("32-true", torch.float32), ("bf16-mixed", torch.bfloat16), ("16-mixed", torch.float16)],
)
@pytest.mark.parametrize("accelerator", ["cpu", "auto"])
def test_the_network_computes_in_the_format(tmp_path, precision, dtype, accelerator):
    """Weights stay in float32, and features as they come: a copy would be twice as large."""
    assert seen_dtypes(tmp_path, precision, accelerator) == {(dtype, dtype, torch.float32)}
    losses = [row["loss"] for row in read_log(tmp_path)]
    assert losses[-1] < 0.7 * losses[0]


def scale(run):
    folder, _ = newest_checkpoint(run)
    return torch.load(folder / "state.pt", weights_only=True)["precision"]["scale"]


def overflowing(model, batch, generator):
    """A finite loss whose gradient, times the scale of 65536, leaves the range of fp16 once."""
    terms = compute(model, batch, generator)
    return terms | {"loss": terms["loss"] * (1e5 if batch.step == 2 else 1.0)}


def test_a_step_that_overflows_is_left_out_and_is_no_error(tmp_path):
    """The scaler halves its scale, and the weights stay: in the third step of both stages.

    The scale it begins with is too large by itself in the first two.
    """
    weights = []

    def recording(model, batch, generator):
        weights.append(model.module[4].weight.detach().clone())
        return overflowing(model, batch, generator)

    toy_train(tmp_path, toy_stages(compute=recording), precision="16-mixed")
    still = [
        number for number, (a, b) in enumerate(itertools.pairwise(weights), 1) if torch.equal(a, b)
    ]
    assert still == [1, 2, 3, 10]
    assert scale(tmp_path) == 65536 / 2**4
    assert len(read_log(tmp_path)) == 12


@pytest.mark.parametrize("stage_step", [2, 4])
def test_the_scale_is_restored(tmp_path, stage_step):
    options = {"precision": "16-mixed", "checkpoint_seconds": 0}
    toy_train(tmp_path / "whole", toy_stages(compute=overflowing), **options)
    killed = toy_stages(killed_before(stage_step), overflowing)
    with pytest.raises(KilledError):
        toy_train(tmp_path / "killed", killed, **options)
    resumed = toy_stages(compute=overflowing)
    toy_train(tmp_path / "killed", resumed, resume=True, **options)
    assert_same_run(tmp_path / "killed", tmp_path / "whole")
    assert scale(tmp_path / "killed") == scale(tmp_path / "whole") == 65536 / 2**4


@pytest.fixture
def graphs(monkeypatch):
    """Compile without inductor, which takes minutes on slow machines; count the graphs."""
    made = []

    def backend(graph, examples):
        made.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    torch._dynamo.reset()
    yield made
    torch._dynamo.reset()


def test_compiled_networks_learn_the_same_and_keep_their_names(tmp_path, graphs):
    toy_train(tmp_path / "plain")
    assert graphs == []
    toy_train(tmp_path / "compiled", compile=True)
    assert len(graphs) == 1
    assert set(load_file(tmp_path / "compiled/model.safetensors")) == set(toy_model().state_dict())
    assert_same_run(tmp_path / "compiled", tmp_path / "plain")


def test_a_compiled_run_resumes(tmp_path, graphs):
    toy_train(tmp_path / "whole", compile=True)
    options = {"compile": True, "checkpoint_seconds": 0}
    with pytest.raises(KilledError):
        toy_train(tmp_path / "killed", toy_stages(killed_before(4)), **options)
    toy_train(tmp_path / "killed", resume=True, **options)
    assert_same_run(tmp_path / "killed", tmp_path / "whole")


class WithMore(nn.Module):
    """A network that is called with other arguments in each stage."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))

    def forward(self, rows, more=None):
        return self.layers(rows) if more is None else self.layers(rows) + more


def test_the_schedule_of_batchnorm_does_not_end_compilation(graphs):
    """Ten momenta make ten graphs a stage; torch stops compiling after 8 unless told otherwise."""
    network, rows = compiled(WithMore(), 2), torch.randn(5, 4)
    for number in range(20):
        set_batchnorm_momentum(network, 0.5 ** (number % 10))
        network(rows, *[rows] * (number < 10))
    assert len(graphs) == 20
