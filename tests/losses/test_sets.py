import math

import pytest
import torch

from geoset import GeosetError
from geoset.losses import set_info_nce
from reference import losses as reference

FIELDS = ("loss", "matches", "chance", "positive", "negative")


def draw_case(seed, *, image_size=(7, 9), feature_size=(3, 4), views=5):
    """Random features, ids in blobs with holes, and pairs that share views."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(views, 3, *feature_size, generator=generator, dtype=torch.float64)
    set_ids = torch.randint(-1, 6, (views, *image_size), generator=generator)
    set_ids = set_ids.where(set_ids < 0, set_ids + 3 * 2**32)
    set_ids[0][set_ids[0] == 3 * 2**32] = -1  # a set that view 0 does not see
    view_pairs = torch.tensor([[0, 1], [1, 2], [4, 3]])
    return features.requires_grad_(), set_ids, view_pairs


def groups_of(set_ids):
    """Sets 0 and 2 are group 5, sets 1 and 4 group 8, the others none."""
    label = set_ids % 2**32
    return torch.where(
        set_ids < 0,
        -1,
        torch.where((label == 0) | (label == 2), 5, torch.where((label - 1) % 3 == 0, 8, -1)),
    )


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 0.1},
        {"min_pixels": 9},
        {"keys": "both_views"},
        {"group": True},
        {"group": True, "keys": "both_views", "min_pixels": 4},
    ],
    ids=str,
)
@pytest.mark.parametrize(
    ("image_size", "feature_size"), [((7, 9), (3, 4)), ((6, 8), (3, 4)), ((7, 8), (7, 8))]
)
def test_equals_the_plain_loop(options, image_size, feature_size):
    features, set_ids, pairs = draw_case(1, image_size=image_size, feature_size=feature_size)
    options = dict(options)
    if options.pop("group", False):
        options["group_ids"] = groups_of(set_ids)
    expected = reference.set_info_nce(features, set_ids, pairs, **options)
    found = set_info_nce(features, set_ids, pairs, **options)
    for name, value in zip(FIELDS, map(torch.as_tensor, expected), strict=True):
        measured = torch.as_tensor(getattr(found, name))
        torch.testing.assert_close(measured, value, rtol=0, atol=1e-10, check_dtype=False, msg=name)
    (gradient,) = torch.autograd.grad(found.loss, features)
    (expected_gradient,) = torch.autograd.grad(expected[0], features)
    torch.testing.assert_close(gradient, expected_gradient, rtol=0, atol=1e-10)
    assert found.loss.dtype == torch.float64


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
    features, set_ids, pairs = draw_case(2)
    plain = set_info_nce(features, set_ids, pairs)
    grouped = set_info_nce(features, set_ids, pairs, group_ids=set_ids)
    assert torch.equal(plain.loss, grouped.loss)


def test_equal_features_are_at_chance():
    _, set_ids, pairs = draw_case(3)
    found = set_info_nce(torch.ones(5, 3, 3, 4, dtype=torch.float64), set_ids, pairs)
    assert found.loss.item() == pytest.approx(found.chance.item(), abs=1e-12)


def test_nothing_to_match_is_a_connected_zero():
    features, set_ids, pairs = draw_case(4)
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
    features, set_ids, pairs = draw_case(5)
    half = features.detach().to(dtype).requires_grad_()
    expected = set_info_nce(half.detach().float(), set_ids, pairs).loss
    with torch.autocast("cpu", torch.bfloat16):
        found = set_info_nce(half, set_ids, pairs).loss
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)
    found.backward()
    assert half.grad.dtype == dtype
    empty = set_info_nce(half, set_ids, pairs[:0]).loss
    assert empty.dtype == torch.float32


def test_random_pixels_take_each_value_they_can_as_often_as_they_should():
    # One feature cell spans two pixels. Set 0 has three pixels in view 0, two of them in one cell;
    # all else is constant, so that only which cell set 0 takes is random: p = 2/3 and 1/3.
    u, v, p, q = (
        torch.tensor(xy, dtype=torch.float64) for xy in ([1.0, 0], [0.6, 0.8], [0, 1], [0.8, 0.6])
    )
    features = torch.stack([torch.stack([u, v, p]), torch.stack([p, p, q])]).mT[:, :, None]
    set_ids = torch.tensor([[[0, 0, 0, -1, 1, 1]], [[0, 0, 0, -1, 1, 1]]])
    pairs = torch.tensor([[0, 1]])
    mean = (2 * u + v) / 3

    def loss(query, key):
        """Of set 0 seen as `query` or, as a negative of set 1, as `key`."""
        terms = [
            reference.info_nce(query, [p], [q], 0.4),
            reference.info_nce(p, [q], [p], 0.4),
            reference.info_nce(p, [mean], [p], 0.4),
            reference.info_nce(q, [p], [key], 0.4),
        ]
        return (sum(terms) / 4).item()

    expected = {
        loss(query, key): query_chance * key_chance
        for query, query_chance in ((u, 2 / 3), (v, 1 / 3))
        for key, key_chance in ((u, 2 / 3), (v, 1 / 3))
    }
    generator = torch.Generator().manual_seed(0)
    draws = 600
    seen = dict.fromkeys(expected, 0)
    for _ in range(draws):
        found = set_info_nce(
            features, set_ids, pairs, aggregation="random_pixel", generator=generator
        )
        nearest = min(expected, key=lambda value: abs(value - found.loss.item()))
        assert found.loss.item() == pytest.approx(nearest, abs=1e-9)
        seen[nearest] += 1
    for value, probability in expected.items():
        spread = math.sqrt(probability * (1 - probability) / draws)
        assert seen[value] / draws == pytest.approx(probability, abs=4 * spread)


def test_random_pixels_follow_the_generator():
    features, set_ids, pairs = draw_case(6)

    def run(seed, keys="both_views"):
        return set_info_nce(
            features,
            set_ids,
            pairs,
            aggregation="random_pixel",
            keys=keys,
            group_ids=groups_of(set_ids),
            generator=torch.Generator().manual_seed(seed),
        ).loss

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))
    (gradient,) = torch.autograd.grad(run(1), features)
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize("aggregation", ["mean", "random_pixel"])
def test_random_pixels_of_uniform_sets_equal_the_mean(aggregation):
    # Every set has one feature in a view, whichever pixel is drawn.
    generator = torch.Generator().manual_seed(7)
    features = torch.randn(4, 3, 2, 3, generator=generator, dtype=torch.float64)
    set_ids = torch.arange(6).view(1, 2, 3).expand(4, 2, 3)
    pairs = torch.tensor([[0, 1], [2, 3]])
    expected = reference.set_info_nce(features, set_ids, pairs)[0]
    found = set_info_nce(features, set_ids, pairs, aggregation=aggregation, generator=generator)
    torch.testing.assert_close(found.loss, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"aggregation": "max"}, "aggregation='max' is unknown; choose one of: mean, random_pixel"),
        ({"keys": "all"}, "keys='all' is unknown; choose one of: other_view, both_views"),
        ({"min_pixels": 0}, "min_pixels=0: expected at least 1"),
        ({"temperature": 0.0}, "temperature=0.0: expected a positive number"),
        ({"features": torch.zeros(3, 4, 4)}, r"features are \(3, 4, 4\).*expected \(V,C,h,w\)"),
        ({"set_ids": torch.zeros(4, 7, 9).long()}, r"set_ids is \(4, 7, 9\).*expected \(5,H,W\)"),
        ({"set_ids": torch.zeros(5, 7, 9)}, "set_ids is .* torch.float32; expected"),
        ({"view_pairs": torch.tensor([[0, 5]])}, "name views 0 to 5; expected 0 to 4"),
        ({"view_pairs": torch.tensor([0, 1])}, r"view_pairs is \(2,\).*expected \(P,2\)"),
        ({"group_ids": torch.zeros(5, 7, 8).long()}, r"group_ids is .*like set_ids, \(5, 7, 9\)"),
        (
            {"group_ids": torch.arange(5 * 7 * 9).view(5, 7, 9)},
            "has pixels of several groups; expected one group a set",
        ),
    ],
)
def test_bad_input_is_named(change, message):
    features, set_ids, view_pairs = draw_case(0)
    arguments = {"features": features, "set_ids": set_ids, "view_pairs": view_pairs} | change
    with pytest.raises(GeosetError, match=message):
        set_info_nce(**arguments)
