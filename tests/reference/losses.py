"""The losses as the paper writes them, one pixel, query and key at a time."""

from functools import cache

import torch


def unit(vector):
    return vector / vector.square().sum().sqrt()


def pixel_feature(feature_map, y, x, height, width):
    """The unit feature of pixel (y, x) of an image of height x width."""
    _, h, w = feature_map.shape
    return unit(feature_map[:, y * h // height, x * w // width])


def info_nce(query, positives, negatives, temperature):
    """Eq. 1 for one query; several positives are averaged over."""
    denominator = sum(torch.exp(query @ key / temperature) for key in positives + negatives)
    terms = [-torch.log(torch.exp(query @ key / temperature) / denominator) for key in positives]
    return sum(terms) / len(terms)


def pixel_info_nce(a, b, temperature):
    """Eq. 1-2: rows of a against rows of b and back, halved."""
    a, b = [unit(row) for row in a], [unit(row) for row in b]
    total = 0
    for queries, keys in ((a, b), (b, a)):
        for i, query in enumerate(queries):
            negatives = [key for j, key in enumerate(keys) if j != i]
            total = total + info_nce(query, [keys[i]], negatives, temperature) / len(queries)
    return total / 2


def set_pixels(ids, wanted):
    height, width = ids.shape
    return [(y, x) for y in range(height) for x in range(width) if ids[y, x] == wanted]


def cells_of(ids, wanted, feature_size):
    """Pixels of a set in each feature cell, row by row."""
    (height, width), (h, w) = ids.shape, feature_size
    counts = [0] * (h * w)
    for y, x in set_pixels(ids, wanted):
        counts[y * h // height * w + x * w // width] += 1
    return counts


def set_mean(feature_map, ids, wanted):
    """F(P): the mean of the unit features of the set's pixels, not renormalised."""
    pixels = set_pixels(ids, wanted)
    return sum(pixel_feature(feature_map, y, x, *ids.shape) for y, x in pixels) / len(pixels)


def find_matches(set_ids, view_pairs, min_pixels):
    """(set, first view, second view, pair) of every set that both views of a pair see."""
    matches = []
    for pair, (m, n) in enumerate(view_pairs.tolist()):
        for wanted in sorted(set(set_ids.flatten().tolist()) - {-1}):
            seen = [len(set_pixels(set_ids[view], wanted)) for view in (m, n)]
            if min(seen) >= min_pixels:
                matches.append((wanted, m, n, pair))
    return matches


def set_info_nce(
    features,
    set_ids,
    view_pairs,
    temperature=0.4,
    min_pixels=1,
    keys="other_view",
    negatives="batch",
    group_ids=None,
):
    """Eq. 3; returns loss, matches, chance, mean positive and mean negative dot product."""
    matches = find_matches(set_ids, view_pairs, min_pixels)

    @cache
    def mean(wanted, view):
        return set_mean(features[view], set_ids[view], wanted)

    def group(wanted, view):
        if group_ids is None:
            return -1
        y, x = set_pixels(set_ids[view], wanted)[0]
        return group_ids[view, y, x].item()

    losses, sizes, positive_dots, negative_dots = [], [], [], []
    for forward in (True, False):
        for i, (wanted, m, n, pair) in enumerate(matches):
            query_view, key_view = (m, n) if forward else (n, m)
            query = mean(wanted, query_view)
            alike, different = [mean(wanted, key_view)], []
            for j, (other, first, second, other_pair) in enumerate(matches):
                if j == i or other == wanted:
                    continue
                if negatives == "pair" and other_pair != pair:
                    continue
                other_query_view, other_key_view = (first, second) if forward else (second, first)
                found = [mean(other, other_key_view)]
                if keys == "both_views":
                    found.append(mean(other, other_query_view))
                in_group = group(wanted, m) >= 0 and group(wanted, m) == group(other, first)
                (alike if in_group else different).extend(found)
            losses.append(info_nce(query, alike, different, temperature))
            sizes.append(len(alike) + len(different))
            positive_dots += [query @ key for key in alike]
            negative_dots += [query @ key for key in different]
    chance = torch.tensor(sizes, dtype=features.dtype).log().mean()
    negative = sum(negative_dots) / len(negative_dots) if negative_dots else 0.0
    positive = sum(positive_dots) / len(positive_dots)
    return sum(losses) / len(losses), len(matches), chance, positive, negative


def match_pixels(depth, K, world_from_camera, first, second, tolerance):
    """{source (x, y): landing (x, y)} of one pair, pixel by pixel."""
    height, width = depth.shape[1:]
    matches = {}
    for row in range(height):
        for column in range(width):
            z = depth[first, row, column]
            if z <= 0:
                continue
            pixel = torch.tensor([column + 0.5, row + 0.5, 1.0], dtype=torch.float64)
            in_first = torch.linalg.inv(K[first]) @ pixel * z
            in_world = world_from_camera[first] @ torch.cat([in_first, torch.ones(1).double()])
            in_second = (torch.linalg.inv(world_from_camera[second]) @ in_world)[:3]
            if in_second[2] <= 0:
                continue
            x, y, _ = (K[second] @ in_second / in_second[2]).tolist()
            if not (0 <= x < width and 0 <= y < height):
                continue
            there = depth[second, int(y), int(x)]
            if there > 0 and abs(there - in_second[2]) < tolerance:
                matches[column + 0.5, row + 0.5] = (x, y)
    return matches


def view_loss(features, matches, image_size, view_pairs, temperature):
    """Mean over the pairs of the pixel loss, positive and negative dot product within each."""
    losses, positive, negative = [], [], []
    for index, (first, second) in enumerate(view_pairs.tolist()):
        if matches.available[index] == 0:
            continue
        a, b = (
            torch.stack(
                [pixel_feature(features[view], int(y), int(x), *image_size) for x, y in points]
            )
            for view, points in (
                (first, matches.source[index].tolist()),
                (second, matches.target[index].tolist()),
            )
        )
        losses.append(pixel_info_nce(a, b, temperature))
        dots = [[x @ y for y in b] for x in a]
        positive += [dot for i, row in enumerate(dots) for j, dot in enumerate(row) if i == j]
        negative += [dot for i, row in enumerate(dots) for j, dot in enumerate(row) if i != j]
    return tuple(sum(values) / len(values) for values in (losses, positive, negative))
