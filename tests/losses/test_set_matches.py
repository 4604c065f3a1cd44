import pytest
import torch

from geoset import GeosetError
from geoset.losses import find_set_matches
from geoset.losses.set_matches import PIECE
from loss_cases import draw_sets, groups_of
from reference import losses as reference


@pytest.mark.parametrize("min_pixels", [1, 9])
@pytest.mark.parametrize(
    ("image_size", "feature_size"),
    [
        ((7, 9), (3, 4)),
        ((6, 8), (3, 4)),
        ((9, 30), (1, 2)),
        ((5, 6), (8, 11)),
        ((40, 60), (20, 30)),
    ],
)
def test_equals_the_pixel_by_pixel_search(image_size, feature_size, min_pixels):
    _, set_ids, pairs = draw_sets(1, image_size=image_size, feature_size=feature_size)
    found = find_set_matches(set_ids, pairs, feature_size, min_pixels=min_pixels)
    expected = reference.find_matches(set_ids, pairs, min_pixels)
    matches = torch.column_stack([found.set_id, pairs[found.pair], found.pair])
    assert sorted(map(tuple, matches.tolist())) == sorted(expected)
    assert (found.group == -1).all()

    pixels = {}
    for wanted, first, second, _ in expected:
        for view in (first, second):
            pixels[view, wanted] = reference.cells_of(set_ids[view], wanted, feature_size)
    assert len(found.size) == len(pixels)
    cells = feature_size[0] * feature_size[1]
    for match, (pair, wanted) in enumerate(zip(found.pair, found.set_id.tolist(), strict=True)):
        for end, view in zip(found.ends[:, match], pairs[pair].tolist(), strict=True):
            counts = torch.zeros(len(set_ids) * cells, dtype=torch.int64)
            runs = found.owner == end
            counts.index_add_(0, found.cell[runs], found.count[runs].long())
            assert counts[view * cells : (view + 1) * cells].tolist() == pixels[view, wanted]
            assert counts.sum() == found.size[end] == sum(pixels[view, wanted])


def test_runs_are_in_order_of_cells_and_pieces_in_order_of_projections():
    _, set_ids, pairs = draw_sets(2, image_size=(60, 80), feature_size=(60, 80))
    set_ids[:2, :30] = 3 * 2**32
    found = find_set_matches(set_ids, pairs, (60, 80))
    runs, cells = len(found.cell), 5 * 60 * 80
    assert (found.cell.diff() >= 0).all()
    assert torch.equal(
        found.cell_start, torch.searchsorted(found.cell, torch.arange(cells), out_int32=True)
    )
    end = torch.cat([found.piece_start[1:], found.piece_start.new_tensor([runs])])
    assert (end - found.piece_start).max() == PIECE
    for begin, stop in zip(found.piece_start.tolist(), end.tolist(), strict=True):
        assert len(found.owner[begin:stop].unique()) == 1
    owners = found.owner[found.piece_start][found.piece_order]
    assert torch.equal(
        found.projection_start,
        torch.searchsorted(owners, torch.arange(len(found.size)), out_int32=True),
    )


def test_case_worked_by_hand():
    # Six pixels on three cells: of set 7, cell 0 of view 0 holds both pixels; of set 9, cell 1 one
    # and cell 2 two. View 1 sees set 9 alone, in its last cell.
    set_ids = torch.tensor([[[7, 7, -1, 9, 9, 9]], [[8, 8, 8, 8, 9, 9]]])
    found = find_set_matches(
        set_ids, torch.tensor([[0, 1]]), (1, 3), group_ids=torch.where(set_ids == 9, 4, -1)
    )
    assert [x.tolist() for x in found] == [
        [[0], [1]],  # ends
        [9],  # set_id
        [4],  # group
        [0],  # pair
        [3, 2],  # size
        [0, 0, 1],  # owner
        [1, 2, 5],  # cell
        [1, 2, 2],  # count
        [0, 0, 1, 2, 2, 2],  # cell_start
        [0, 2],  # piece_start
        [0, 1],  # piece_order
        [0, 1],  # projection_start
    ]


def test_neighbouring_views_of_one_scene_do_not_run_into_each_other():
    # The last pixel of view 0 and the first of view 1 are of one set.
    found = find_set_matches(torch.full((2, 2, 2), 5), torch.tensor([[0, 1]]), (2, 2))
    assert found.size.tolist() == [4, 4]
    assert found.owner.tolist() == [0] * 4 + [1] * 4


@pytest.mark.parametrize("pairs", [torch.tensor([[0, 1]]), torch.zeros(0, 2, dtype=torch.int64)])
def test_nothing_matches(pairs):
    found = find_set_matches(torch.full((2, 4, 4), -1), pairs, (2, 2))
    assert found.ends.shape == (2, 0)
    assert found.cell_start.tolist() == [0] * 8
    assert all(
        len(getattr(found, name)) == 0
        for name in found._fields
        if name not in ("ends", "cell_start")
    )


def test_groups_follow_their_sets():
    _, set_ids, pairs = draw_sets(3)
    found = find_set_matches(set_ids, pairs, (3, 4), group_ids=groups_of(set_ids))
    assert torch.equal(found.group, groups_of(found.set_id))


def test_ids_of_any_integer_type():
    _, set_ids, pairs = draw_sets(4)
    set_ids = set_ids.where(set_ids < 0, set_ids % 2**32)
    for name, values in find_set_matches(set_ids.int(), pairs.int(), (3, 4))._asdict().items():
        expected = getattr(find_set_matches(set_ids, pairs, (3, 4)), name)
        assert torch.equal(values.long(), expected.long())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"min_pixels": 0}, "min_pixels=0: expected at least 1"),
        ({"set_ids": torch.zeros(7, 9).long()}, r"set_ids is \(7, 9\).*expected \(V,H,W\)"),
        ({"set_ids": torch.zeros(5, 7, 9)}, "set_ids is .* torch.float32; expected"),
        ({"view_pairs": torch.tensor([[0, 5]])}, "name views 0 to 5; expected 0 to 4"),
        ({"view_pairs": torch.tensor([[-1, 2]])}, "name views -1 to 2; expected 0 to 4"),
        ({"view_pairs": torch.tensor([0, 1])}, r"view_pairs is \(2,\).*expected \(P,2\)"),
        ({"group_ids": torch.zeros(5, 7, 8).long()}, r"group_ids is .*like set_ids, \(5, 7, 9\)"),
        (
            {"group_ids": torch.arange(5 * 7 * 9).view(5, 7, 9)},
            "has pixels of several groups; expected one group a set",
        ),
    ],
)
def test_bad_input_is_named(change, message):
    _, set_ids, view_pairs = draw_sets(0)
    arguments = {"set_ids": set_ids, "view_pairs": view_pairs, "feature_size": (3, 4)} | change
    with pytest.raises(GeosetError, match=message):
        find_set_matches(**arguments)
