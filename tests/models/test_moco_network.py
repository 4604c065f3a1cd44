import pytest
import torch

from geoset.models.moco import MocoNetwork
from geoset.models.network import build_network
from reference import moco as reference


def build(seed=0, queue=5, momentum=0.75, batchnorm_images=2):
    torch.manual_seed(seed)
    image = build_network("resnet18", 8, 1 / 32)
    options = {"feature_dim": 4, "momentum": momentum, "batchnorm_images": batchnorm_images}
    return image, MocoNetwork(image, queue=queue, **options)


def draw_images(seed=0, count=4):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(2, count, 3, 64, 64, generator=generator).unbind()


def test_both_encoders_start_from_the_given_one():
    image, network = build()
    for name, value in image.encoder.state_dict().items():
        assert torch.equal(network.query.encoder.state_dict()[name], value)
        assert torch.equal(network.key.encoder.state_dict()[name], value)
    views = draw_images()[0]
    queries, keys = network(views, views)
    torch.testing.assert_close(queries, keys)
    torch.testing.assert_close(queries.norm(dim=1), torch.ones(4))


def test_a_vector_is_of_the_mean_over_the_image():
    _, network = build()
    query, images = network.query.eval(), draw_images()[0]
    coarsest = query.maps(images)[-1]
    expected = query.head(coarsest.flatten(2).mean(dim=2))
    torch.testing.assert_close(query(images), expected / expected.norm(dim=1, keepdim=True))


def test_the_given_network_is_left_as_it_is():
    image, network = build()
    before = {name: value.clone() for name, value in image.state_dict().items()}
    queries, _ = network(*draw_images())
    queries.sum().backward()
    assert all(parameter.grad is None for parameter in image.parameters())
    assert all(torch.equal(value, before[name]) for name, value in image.state_dict().items())


def test_the_follower_makes_its_step_before_the_keys_are_made():
    _, network = build(momentum=0.75)
    with torch.no_grad():
        network.query.head[2].bias.copy_(torch.tensor([4.0, 0, 0, 0]))
        network.key.head[2].bias.copy_(torch.tensor([8.0, 2, 0, 0]))
        for weight in (network.query.head[2].weight, network.key.head[2].weight):
            weight.zero_()
    queries, keys = network(*draw_images())
    # 0.75 * (8, 2) + 0.25 * (4, 0) = (7, 1.5)
    assert network.key.head[2].bias.tolist() == [7, 1.5, 0, 0]
    torch.testing.assert_close(keys, torch.tensor([7, 1.5, 0, 0]).expand(4, 4) / 51.25**0.5)
    assert queries[0].tolist() == [1, 0, 0, 0]


def test_every_parameter_follows():
    _, network = build(momentum=0.9)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in network.query.parameters():
            parameter.add_(torch.randn_like(parameter))
    before = [parameter.clone() for parameter in network.key.parameters()]
    network(*draw_images())
    for own, old, followed in zip(
        network.key.parameters(), before, network.query.parameters(), strict=True
    ):
        torch.testing.assert_close(own, reference.follow(old, followed, 0.9))


def test_gradients_reach_all_of_the_query_side_and_nothing_of_the_key_side():
    _, network = build()
    queries, keys = network(*draw_images())
    assert not keys.requires_grad
    (queries[:, 0] * keys[:, 0]).sum().backward()
    assert all(parameter.grad is not None for parameter in network.query.parameters())
    assert not any(parameter.requires_grad for parameter in network.key.parameters())


@pytest.mark.parametrize("batches", [(2, 2, 2), (5, 1), (3, 4, 5, 1, 1)])
def test_the_oldest_keys_leave_the_queue_first(batches):
    _, network = build(queue=5)
    expected = [row.clone() for row in network.queue]
    generator = torch.Generator().manual_seed(0)
    for count in batches:
        keys = torch.randn(count, 4, generator=generator)
        network.enqueue(keys)
        expected = reference.enqueue(expected, keys)
    oldest = network.oldest.item()
    assert oldest == sum(batches) % 5
    assert torch.equal(network.queue.roll(-oldest, 0), torch.stack(expected))


def test_the_queue_starts_with_unit_vectors():
    _, network = build(queue=100)
    torch.testing.assert_close(network.queue.norm(dim=1), torch.ones(100))
    assert network.queue.mean(dim=0).abs().max() < 0.2


def test_batchnorm_sees_one_group_at_a_time():
    """In groups of two, the first two images are told nothing of the others; together, they are."""
    for batchnorm_images, alone in ((2, True), (4, False)):
        _, network = build(batchnorm_images=batchnorm_images)
        views, others = draw_images()
        mixed = torch.cat([views[:2], others[2:]])
        with torch.no_grad():
            same = torch.allclose(network.query(views)[:2], network.query(mixed)[:2], atol=1e-6)
        assert same == alone


def test_images_that_fill_no_whole_group_join_another():
    _, network = build(batchnorm_images=2)
    views = draw_images(count=3)[0]
    with torch.no_grad():
        found = network.query(views)
        network.query.batchnorm_images = 3
        assert torch.equal(found, network.query(views))


def test_its_state_is_all_there_is():
    _, network = build(seed=0)
    network(*draw_images(1))
    network.enqueue(torch.ones(3, 4))
    _, other = build(seed=1)
    other.load_state_dict(network.state_dict())
    for k in range(2):
        views = draw_images(k)
        for a, b in zip(network(*views), other(*views), strict=True):
            assert torch.equal(a, b)
        for each in (network, other):
            each.enqueue(torch.full((2, 4), float(k)))
        assert torch.equal(network.queue, other.queue)
