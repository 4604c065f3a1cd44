"""Flying pixels, one pixel and one neighbour after the other."""


def drop_flying_pixels_slowly(depth, limit):
    """Return depth (H,W) without pixels between two surfaces; limit: part of a pixel's depth."""
    height, width = depth.shape
    kept = depth.copy()
    for i in range(height):
        for j in range(width):
            around = [
                depth[y, x]
                for y in range(i - 2, i + 3)
                for x in range(j - 2, j + 3)
                if (y, x) != (i, j) and 0 <= y < height and 0 <= x < width and depth[y, x] > 0
            ]
            nearer = sum(d < depth[i, j] * (1 - limit) for d in around)
            farther = sum(d > depth[i, j] * (1 + limit) for d in around)
            beside = len(around) - nearer - farther
            if nearer and farther and 3 * beside < len(around):
                kept[i, j] = 0
    return kept
