import math

import pytest
import torch

from geoset import GeosetError
from geoset.losses import find_set_matches, matched_set_loss, set_info_nce
from geoset.losses.sets import CHANNELS
from loss_cases import draw_sets, groups_of
from reference import losses as reference

FIELDS = ("loss", "matches", "chance", "positive", "negative")


def loss_of(features, set_ids, pairs, *, min_pixels=1, group=False, **options):
    """`find_set_matches` and `matched_set_loss`, for all their options."""
    groups = groups_of(set_ids) if group else None
    matches = find_set_matches(
        set_ids, pairs, features.shape[-2:], min_pixels=min_pixels, group_ids=groups
    )
    return matched_set_loss(features, matches, **options)


def check_against_the_loop(features, set_ids, pairs, *, group=False, **options):
    groups = groups_of(set_ids) if group else None
    expected = reference.set_info_nce(features, set_ids, pairs, group_ids=groups, **options)
    found = loss_of(features, set_ids, pairs, group=group, **options)
    for name, value in zip(FIELDS, map(torch.as_tensor, expected), strict=True):
        measured = torch.as_tensor(getattr(found, name))
        torch.testing.assert_close(measured, value, rtol=0, atol=1e-10, check_dtype=False, msg=name)
    (gradient,) = torch.autograd.grad(found.loss, features)
    (expected_gradient,) = torch.autograd.grad(expected[0], features)
    torch.testing.assert_close(gradient, expected_gradient, rtol=0, atol=1e-10)
    assert found.loss.dtype == torch.float64


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 0.1},
        {"min_pixels": 9},
        {"keys": "both_views"},
        {"negatives": "pair"},
        {"negatives": "pair", "keys": "both_views", "group": True},
        {"group": True},
        {"group": True, "keys": "both_views", "min_pixels": 4},
    ],
    ids=str,
)
def test_equals_the_plain_loop(options):
    check_against_the_loop(*draw_sets(1), **options)


@pytest.mark.parametrize(
    ("image_size", "feature_size"),
    [
        ((6, 8), (3, 4)),
        ((7, 8), (7, 8)),
        ((7, 9), (1, 1)),  # every set is smaller than the one cell
        ((14, 29), (1, 2)),  # a stride of 14, and of 14.5
        ((5, 6), (8, 11)),  # cells that no pixel takes
    ],
)
def test_any_ratio_of_sizes_equals_the_plain_loop(image_size, feature_size):
    case = draw_sets(2, image_size=image_size, feature_size=feature_size, views=3)
    check_against_the_loop(*case[:2], torch.tensor([[0, 1], [2, 1]]), keys="both_views")


@pytest.mark.parametrize("pairs", [[[0, 1]], [[2, 2]], [[0, 1], [1, 0], [0, 1]]], ids=str)
def test_one_pair_one_view_and_a_pair_again_equal_the_plain_loop(pairs):
    features, set_ids, _ = draw_sets(3, views=3)
    check_against_the_loop(features, set_ids, torch.tensor(pairs), group=True)


def test_one_set_equals_the_plain_loop():
    features, set_ids, pairs = draw_sets(3)
    check_against_the_loop(features, set_ids.where(set_ids == 2 + 3 * 2**32, -1), pairs)


@pytest.mark.parametrize("aggregation", ["mean", "random_pixel"])
@pytest.mark.parametrize("keys", ["other_view", "both_views"])
@pytest.mark.parametrize(("negatives", "group"), [("batch", True), ("pair", False)])
def test_gradients_are_those_of_finite_differences(aggregation, keys, negatives, group):
    features, set_ids, pairs = draw_sets(4, image_size=(4, 5), feature_size=(2, 3))

    def loss(features):
        return loss_of(
            features,
            set_ids,
            pairs,
            group=group,
            aggregation=aggregation,
            keys=keys,
            negatives=negatives,
            generator=torch.Generator().manual_seed(0),
        ).loss

    torch.autograd.gradcheck(loss, features, fast_mode=True)


def test_order_of_pairs_and_views_and_names_of_sets_are_irrelevant():
    features, set_ids, pairs = draw_sets(5)
    expected = loss_of(features, set_ids, pairs, group=True).loss
    order = torch.tensor([3, 0, 4, 1, 2])
    renamed = torch.tensor([11, 2**40, 7, 3, 2**33, 6, -1])[
        (set_ids % 2**32).where(set_ids >= 0, 6)
    ]
    for found in (
        loss_of(features, set_ids, pairs[[2, 0, 1]], group=True).loss,
        loss_of(features, set_ids, pairs.flip(1), group=True).loss,
        loss_of(features[order], set_ids[order], order.argsort()[pairs], group=True).loss,
        set_info_nce(features, renamed, pairs, group_ids=groups_of(set_ids)).loss,
    ):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_long_walls_and_many_channels_are_summed_part_by_part():
    # Runs of one set longer than a piece, a projection of many pieces, and channels in two parts.
    assert CHANNELS < 40
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 40, 20, 30, generator=generator, dtype=torch.float64)
    set_ids = torch.zeros(2, 20, 30, dtype=torch.int64)
    set_ids[:, 7:9, 5:20] = 1
    check_against_the_loop(features.requires_grad_(), set_ids, torch.tensor([[0, 1]]))


def test_memory_format_is_irrelevant():
    features, set_ids, pairs = draw_sets(6)
    last = features.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    gradients = [
        torch.autograd.grad(set_info_nce(x, set_ids, pairs).loss, x)[0] for x in (features, last)
    ]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-15)
    assert gradients[1].is_contiguous(memory_format=torch.channels_last)


def hand_case():
    """Two views of three pixels; the arithmetic is in the test."""
    first = torch.tensor([[1.0, 0], [0, 2], [3, 0]])
    second = torch.tensor([[5.0, 0], [0, 1], [0, 4]])
    features = torch.stack([first, second]).mT[:, :, None]  # (2, C, 1, 3)
    set_ids = torch.tensor([[[7, 7, 9]], [[7, 9, 9]]])
    return features, set_ids, torch.tensor([[0, 1]])


def test_case_worked_by_hand():
    # Means of unit features: F7 = ((1,0) + (0,1)) / 2, F9 = (1,0); F7' = (1,0), F9' = (0,1).
    # Dots: F7.F7' = .5, F7.F9' = .5, F9.F7' = 1, F9.F9' = 0. Temperature 1, two keys a query:
    # 7 -> 7': log 2                       9 -> 9': -log(1 / (1 + e)) = log(1 + e)
    # 7' -> 7: -log(e^.5 / (e^.5 + e))     9' -> 9: -log(1 / (1 + e^.5)), both log(1 + e^.5)
    found = set_info_nce(*hand_case(), temperature=1.0)
    expected = (math.log(2) + math.log(1 + math.e) + 2 * math.log(1 + math.exp(0.5))) / 4
    assert found.loss.item() == pytest.approx(expected, abs=1e-6)
    assert found.matches == 2
    assert found.chance.item() == pytest.approx(math.log(2), abs=1e-6)
    assert found.positive.item() == pytest.approx((0.5 + 0 + 0.5 + 0) / 4, abs=1e-6)
    assert found.negative.item() == pytest.approx((0.5 + 1 + 1 + 0.5) / 4, abs=1e-6)


def test_both_views_by_hand():
    # The query's own side adds F7.F9 = .5 and F7'.F9' = 0 to the case above; three keys a query:
    # 7: .5 of (.5, .5, .5): log 3              9: 0 of (0, 1, .5): log(1 + e + e^.5)
    # 7': .5 of (.5, 1, 0): log(1 + e^.5 + e^-.5)    9': 0 of (0, .5, 0): log(2 + e^.5)
    found = set_info_nce(*hand_case(), temperature=1.0, keys="both_views")
    root = math.exp(0.5)
    expected = [3, 1 + math.e + root, 1 + root + 1 / root, 2 + root]
    assert found.loss.item() == pytest.approx(sum(map(math.log, expected)) / 4, abs=1e-6)
    assert found.chance.item() == pytest.approx(math.log(3), abs=1e-6)


def test_groups_by_hand():
    # One group for both sets: every key is a positive and none a negative. Of the case above,
    # 7: (.5, .5): log 2    9: (0, 1): log(1 + e) - .5
    # 7': (.5, 1): log(e^.5 + e) - .75    9': (0, .5): log(1 + e^.5) - .25
    features, set_ids, pairs = hand_case()
    found = set_info_nce(
        features, set_ids, pairs, temperature=1.0, group_ids=torch.zeros_like(set_ids)
    )
    root = math.exp(0.5)
    expected = (
        math.log(2)
        + (math.log(1 + math.e) - 0.5)
        + (math.log(root + math.e) - 0.75)
        + (math.log(1 + root) - 0.25)
    ) / 4
    assert found.loss.item() == pytest.approx(expected, abs=1e-6)
    assert found.positive.item() == pytest.approx(0.5, abs=1e-6)
    assert found.negative.item() == 0


def test_the_same_set_in_another_pair_is_no_negative():
    # One set, seen in two pairs: the only key of each of the four queries is its positive.
    features = torch.randn(4, 2, 1, 1)
    set_ids = torch.full((4, 1, 1), 3)
    found = set_info_nce(features, set_ids, torch.tensor([[0, 1], [2, 3]]), keys="both_views")
    assert (found.matches, found.loss.item(), found.chance.item()) == (2, 0, 0)


def test_a_group_for_each_set_changes_nothing():
    features, set_ids, pairs = draw_sets(2)
    plain = set_info_nce(features, set_ids, pairs)
    grouped = set_info_nce(features, set_ids, pairs, group_ids=set_ids)
    assert torch.equal(plain.loss, grouped.loss)


def test_equal_features_are_at_chance():
    _, set_ids, pairs = draw_sets(3)
    found = set_info_nce(torch.ones(5, 3, 3, 4, dtype=torch.float64), set_ids, pairs)
    assert found.loss.item() == pytest.approx(found.chance.item(), abs=1e-12)


def test_nothing_to_match_is_a_connected_zero():
    features, set_ids, pairs = draw_sets(4)
    for empty in (
        set_info_nce(features, torch.full_like(set_ids, -1), pairs),
        set_info_nce(features, set_ids, pairs, min_pixels=1000),
        set_info_nce(features, set_ids, pairs[:0]),
    ):
        assert (empty.matches, empty.loss.item()) == (0, 0)
        (gradient,) = torch.autograd.grad(empty.loss, features)
        assert torch.equal(gradient, torch.zeros_like(features))


def test_repeats_to_the_bit():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(4, 16, 40, 60, generator=generator, requires_grad=True)
    set_ids = torch.randint(0, 20, (4, 16, 24), generator=generator)
    set_ids = set_ids.repeat_interleave(5, 1).repeat_interleave(5, 2)

    def run():
        loss = set_info_nce(features, set_ids, torch.tensor([[0, 1], [2, 3], [0, 2]])).loss
        return loss, *torch.autograd.grad(loss, features)

    loss, gradient = run()
    for _ in range(5):
        again, gradient_again = run()
        assert torch.equal(loss, again)
        assert torch.equal(gradient, gradient_again)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    features, set_ids, pairs = draw_sets(5)
    half = features.detach().to(dtype).requires_grad_()
    expected = set_info_nce(half.detach().float(), set_ids, pairs).loss
    with torch.autocast("cpu", torch.bfloat16):
        found = set_info_nce(half, set_ids, pairs).loss
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)
    found.backward()
    assert half.grad.dtype == dtype
    wide = half.detach().float().requires_grad_()
    set_info_nce(wide, set_ids, pairs).loss.backward()
    assert torch.equal(half.grad, wide.grad.to(dtype))
    empty = set_info_nce(half, set_ids, pairs[:0]).loss
    assert empty.dtype == torch.float32


def test_bad_input_is_named():
    features, set_ids, pairs = draw_sets(0)
    matches = find_set_matches(set_ids, pairs, (3, 4))
    for change, message in (
        ({"aggregation": "max"}, "aggregation='max' is unknown; choose one of: mean, random_pixel"),
        ({"keys": "all"}, "keys='all' is unknown; choose one of: other_view, both_views"),
        ({"negatives": "none"}, "negatives='none' is unknown; choose one of: batch, pair"),
        ({"temperature": 0.0}, "temperature=0.0: expected a positive number"),
        ({"features": torch.zeros(3, 4, 4)}, r"features are \(3, 4, 4\).*expected \(V,C,h,w\)"),
        (
            {"features": torch.zeros(5, 3, 4, 5)},
            r"found in 60 feature cells, but 5 views of 4x5 have 100.*feature_size=\(4, 5\)",
        ),
    ):
        with pytest.raises(GeosetError, match=message):
            matched_set_loss(**{"features": features, "matches": matches} | change)
    with pytest.raises(GeosetError, match=r"set_ids is \(4, 7, 9\); expected \(5,H,W\)"):
        set_info_nce(features, set_ids[:4], pairs)
