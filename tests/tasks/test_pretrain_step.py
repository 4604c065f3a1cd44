"""How the losses of a stage add up, on batches of two small rooms."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_run import RECIPE

from geoset import GeosetError, PreparedScene
from geoset.data.pairs import PairBatches
from geoset.losses import find_set_matches, set_info_nce
from geoset.prepare.groups import set_count, write_grouping
from geoset.prepare.scene import write_layer
from geoset.recipes import GeoSettings, Photometric, StageSettings
from geoset.tasks.pretrain import build_pretraining, stages_of

PLAIN = Photometric(jitter_probability=0, grayscale_probability=0, blur_probability=0)
EVERY_TERM = StageSettings("all", steps=1, view=2.0, geo=3.0, depth=5.0, sets=7.0)
GEO = GeoSettings(samples=64, voxel_size=0.1, width=0.125)
SMALL = replace(RECIPE, batch_pairs=12, geo=GEO, augmentation=PLAIN)


@pytest.fixture(scope="module")
def scenes(prepared_rooms, tmp_path_factory):
    """The two rooms, with a second layer, in room b alone, and with groups."""
    folder = tmp_path_factory.mktemp("layered")
    for name in "ab":
        shutil.copytree(prepared_rooms / name, folder / name)
    scene = PreparedScene(folder / "b")
    blocks = np.floor(2 * scene.vertices).astype(np.int32)
    blocks = np.ravel_multi_index((blocks - blocks.min(axis=0)).T, (40, 40, 40))
    write_layer(scene.path, "blocks", blocks, scene.info["files"]["surface.ply"]["sha256"],
                "scene", {})  # fmt: skip
    scenes = [PreparedScene(folder / name) for name in "ab"]
    groups = [np.arange(set_count(scene.sets())) % 3 for scene in scenes]
    write_grouping(scenes, "thirds", "geometric", groups, 3, {})
    return scenes


def losses_of(recipe, stage, scenes, network):
    """What the stage logs of its first batch, and the batch."""
    (plan,) = stages_of(replace(recipe, stages=(stage,)), scenes, network, seed=0)
    batch = next(plan.batches(0, 0, 1))
    return plan.compute(network, batch, torch.Generator().manual_seed(0)), batch


def network_of(recipe, stage=EVERY_TERM):
    return build_pretraining(replace(recipe, stages=(stage,)), seed=0)[0]


def test_the_loss_is_the_weighted_sum_of_its_terms(scenes):
    """However many others there are, a term has the same value."""
    network = network_of(SMALL)
    together, _ = losses_of(SMALL, EVERY_TERM, scenes, network)
    alone = {}
    for term, weight in EVERY_TERM.weights.items():
        stage = StageSettings("one", steps=1, **{term: 1.0})
        alone[term], _ = losses_of(SMALL, stage, scenes, network)
        assert alone[term].keys() <= together.keys()
        assert weight > 1
    expected = sum(w * alone[term]["loss"] for term, w in EVERY_TERM.weights.items())
    assert together["loss"].item() == pytest.approx(expected.item(), rel=1e-5)
    together["loss"].backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_heads_that_no_stage_uses_are_not_made():
    for term, heads in (("view", set()), ("depth", {"depth_head"}),
                        ("geo", {"point", "pixel_head", "point_head"})):  # fmt: skip
        network = network_of(SMALL, StageSettings("one", steps=1, **{term: 1.0}))
        assert {name for name, _ in network.named_children()} == {"image"} | heads


def test_layers_have_fixed_weights(scenes):
    """Layer `blocks` weighs 3 of 4, also where it finds nothing: sets of under 10^6 pixels."""
    stage = StageSettings("sets", steps=1, sets=1.0)
    recipe = replace(SMALL, layers=("geometric", "blocks"), layer_weights=(1.0, 3.0))
    network = network_of(recipe, stage)
    found, batch = losses_of(recipe, stage, scenes, network)
    assert {frame[0] for frame in batch.frames} == {"a", "b"}
    alone = [
        losses_of(replace(SMALL, layers=(layer,)), stage, scenes, network)[0]["loss"].item()
        for layer in recipe.layers
    ]
    assert min(alone) > 0.1
    assert found["loss"].item() == pytest.approx((alone[0] + 3 * alone[1]) / 4, rel=1e-5)
    assert {"sets geometric/chance", "sets blocks/chance"} < found.keys()


def test_a_layer_that_finds_nothing_is_zero(scenes):
    stage = StageSettings("sets", steps=1, sets=1.0)
    recipe = replace(SMALL, layers=("geometric", "blocks"))
    network = network_of(recipe, stage)
    (both,) = stages_of(replace(recipe, stages=(stage,)), scenes, network, seed=0)
    (one,) = stages_of(replace(SMALL, stages=(stage,)), scenes, network, seed=0)
    batch = next(both.batches(0, 0, 1))
    views, _, height, width = batch.images.shape
    nothing = torch.full((views, height, width), -1)
    empty = find_set_matches(nothing, batch.view_pairs, (height // 2, width // 2))
    found, alone = (
        plan.compute(network, batch._replace(matches=matches), torch.Generator().manual_seed(0))
        for plan, matches in ((both, (batch.matches[0], empty)), (one, batch.matches[:1]))
    )
    assert found["loss"].item() == pytest.approx(alone["loss"].item() / 2, rel=1e-5)
    assert found["sets blocks/pair"] == 0


def test_groups_reach_the_loss(scenes):
    """As `set_info_nce` has it, given the maps of the same batch."""
    stage = StageSettings("sets", steps=1, sets=1.0)
    recipe = replace(SMALL, groups="thirds")
    network = network_of(recipe, stage)
    found, batch = losses_of(recipe, stage, scenes, network)
    maps = PairBatches(scenes, recipe.batch_pairs, seed=0, groups="thirds")[0]
    assert maps.frames == batch.frames
    features = network(batch.images / 255).features
    options = {"temperature": recipe.temperature, "min_pixels": recipe.min_pixels}
    ids, groups = maps.set_ids["geometric"], maps.group_ids["geometric"]
    assert groups.max() == 2
    grouped, plain = (
        set_info_nce(features, ids, maps.view_pairs, group_ids=given, **options).loss.item()
        for given in (groups, None)
    )
    assert found["loss"].item() == pytest.approx(grouped, rel=1e-5)
    assert abs(grouped - plain) > 0.01


def test_groups_of_a_layer_that_is_not_trained_on(scenes):
    with pytest.raises(GeosetError) as error:
        PairBatches(scenes, 4, 0, layers=["blocks"], groups="thirds")
    assert str(error.value) == (
        "groups thirds: are of the sets of layer 'geometric', which is not trained on (blocks); "
        "give --layers geometric, or other groups"
    )
