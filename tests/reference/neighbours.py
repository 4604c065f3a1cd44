"""Votes of nearest neighbours, a query at a time."""

import math


def votes_of(query, bank, labels, classes, neighbours, temperature):
    def cosine(a, b):
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        return dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))

    ranked = sorted(
        ((cosine(query, row), label) for row, label in zip(bank, labels, strict=True)), reverse=True
    )
    votes = [0.0] * classes
    for similarity, label in ranked[:neighbours]:
        votes[label] += math.exp(similarity / temperature)
    return [vote / sum(votes) for vote in votes]
