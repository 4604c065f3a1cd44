import pytest

from geoset.training.chance import ChanceWatch, stays_at_chance


@pytest.mark.parametrize(
    ("course", "stuck"),
    [
        ([1.0] * 199, False),  # too early to say
        ([1.0] * 200, True),
        ([0.5] * 100 + [1.0] * 100, True),  # what came before the last 100 steps does not count
        ([1.0] * 100 + [0.97] * 100, False),
        ([1.0] * 100 + [0.95, 1.05] * 50, True),  # a mean of 1
        ([1.0] * 101 + [0.0] * 2 + [1.0] * 98, False),  # a mean of 0.98, not above it
        ([1.0] * 101 + [0.0] + [1.0] * 99, True),  # a mean of 0.99
        ([2.0] * 250, True),
    ],
)
def test_stays_at_chance_by_hand(course, stuck):
    assert stays_at_chance(course) is stuck


def warned_at(watch, stage, values, name="view/chance"):
    return [step for step, value in enumerate(values, 1) if watch.see(stage, {name: value})]


def test_one_warning_a_stage():
    watch = ChanceWatch()
    assert warned_at(watch, "view", [1.0] * 500) == [200]
    assert warned_at(watch, "sets", [1.0] * 500) == [200]


def test_a_loss_that_comes_down_late_enough():
    watch = ChanceWatch()
    assert warned_at(watch, "view", [1.0] * 150 + [0.9] * 1000) == []
    assert warned_at(watch, "sets", [0.9] * 300 + [1.0] * 200) == [300 + 81]


def test_only_terms_named_chance_count():
    watch = ChanceWatch()
    assert warned_at(watch, "view", [1.0] * 300, name="positive") == []
    assert warned_at(watch, "view", [1.0] * 300, name="chance") == []


def test_one_of_several_terms_is_enough():
    watch, terms = ChanceWatch(), {"view/chance": 0.5, "geo/chance": 1.0}
    warnings = [watch.see("view", terms) for _ in range(200)]
    assert warnings[:-1] == [None] * 199
    assert warnings[-1] == (
        "stage 'view': over the last 100 steps geo/chance has a mean above 0.98, where 1 is the "
        "loss of a network that knows nothing. Look whether the sets and matches are right: "
        "contact_sheet.png from `geoset inspect` of the prepared scenes. If they are, start again "
        "with a lower learning rate or a longer warm-up."
    )


def test_steps_without_a_value_are_passed_over():
    watch = ChanceWatch()
    values = [None, 1.0] * 300
    assert warned_at(watch, "view", values) == [400]
