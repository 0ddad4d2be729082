"""A measured figure: held against its budget, and refused where nothing was measured."""

import pytest

from benchmarks.figures import figure


def test_a_ratio_is_held_against_its_budget() -> None:
    assert figure("a", 3.0, "s", baseline=2.0, budget=1.5).holds
    assert not figure("a", 3.1, "s", baseline=2.0, budget=1.5).holds
    assert figure("a", 3.1, "s").holds is None


@pytest.mark.parametrize(("measured", "baseline"), [(-0.1, None), (-0.1, 2.0), (0.1, -2.0)])
def test_less_than_nothing_is_no_figure(measured: float, baseline: float | None) -> None:
    with pytest.raises(ValueError, match="less than nothing"):
        figure("a", measured, "s", baseline=baseline, budget=1.5)
