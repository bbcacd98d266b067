import numpy as np

from tuner.training import random_streams


def test_streams_of_different_purposes_seeds_and_epochs_differ() -> None:
    drawn = [
        random_streams.initial_weights(1, [(4,)], 1.0)[0],
        random_streams.initial_weights(2, [(4,)], 1.0)[0],
        next(random_streams.noise(1, 1, [(4,)], 0)),
        next(random_streams.noise(1, 2, [(4,)], 0)),
        next(random_streams.noise(2, 1, [(4,)], 0)),
        random_streams.design(1, "music", "V").standard_normal(4),
        random_streams.design(1, "music", "NP").standard_normal(4),
        random_streams.design(1, "speech", "V").standard_normal(4),
    ]
    for first in range(len(drawn)):
        for second in range(first):
            assert not np.allclose(drawn[first], drawn[second])


def test_streams_are_what_they_were() -> None:
    # Recorded: a study must be able to go on under the next release.
    assert random_streams.order(1, 1, 6).tolist() == [0, 3, 2, 4, 5, 1]
    weights = random_streams.initial_weights(7, [(2, 2), (3,)], 0.1)
    assert [part.dtype for part in weights] == [np.float32, np.float32]
    np.testing.assert_allclose(
        np.concatenate([part.ravel() for part in weights]),
        [
            -0.27165267,
            0.071778908,
            -0.10544572,
            0.081317917,
            -0.030882647,
            0.24801372,
            -0.022645572,
        ],
        rtol=1e-6,
    )
    noise = np.concatenate(list(random_streams.noise(7, 2, [(2,), (1,)], 0)))
    np.testing.assert_allclose(noise, [0.25111136, -0.12875400, 1.37082775], rtol=1e-6)


def test_initial_weights_have_the_wished_spread() -> None:
    (weights,) = random_streams.initial_weights(3, [(40_000,)], 0.1)
    # Five standard errors of mean and standard deviation: one false alarm in a million.
    assert abs(weights.mean()) < 5 * 0.1 / 200
    assert abs(weights.std() - 0.1) < 5 * 0.1 / 200 / np.sqrt(2)


def test_noise_from_the_middle_of_an_epoch_is_the_rest_of_the_whole() -> None:
    shapes = [(3, 2), (1, 2), (5, 2), (2, 2)]
    whole = list(random_streams.noise(1, 4, shapes, 0))
    rest = list(random_streams.noise(1, 4, shapes, 2))
    assert len(rest) == 2
    for expected, actual in zip(whole[2:], rest, strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_every_epoch_has_its_own_order_of_all_sequences() -> None:
    orders = [random_streams.order(1, epoch, 50) for epoch in (1, 2, 3)]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert not np.array_equal(orders[0], orders[1])
    assert not np.array_equal(random_streams.order(2, 1, 50), orders[0])
