"""Elements come out of worker processes as they come out of this one, and so do errors."""

import pytest
import torch

from geoset import GeosetError
from geoset.data.loading import load


class Frames:
    """Of a frame, its number twice, the second time in a tensor; frame 2 cannot be read."""

    def __getitem__(self, frame):
        if frame == 2:
            raise GeosetError("frame 2: is damaged; prepare its scan again")
        return frame, torch.tensor(frame)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_elements_come_in_the_order_asked_for(workers):
    assert list(load(Frames(), [4, 1, 3], workers)) == [(4, 4), (1, 1), (3, 3)]


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_what_cannot_be_read_is_said_in_one_line(workers):
    loaded = load(Frames(), range(4), workers)
    assert [next(loaded), next(loaded)] == [(0, 0), (1, 1)]
    with pytest.raises(GeosetError) as error:
        next(loaded)
    assert str(error.value) == "frame 2: is damaged; prepare its scan again"
