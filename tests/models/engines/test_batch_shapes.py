"""Every batch of texts fits the shape that it is padded to, and graphs are made for few shapes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.models.engines.model_job import BatchShapes


@given(st.integers(1, 64), st.integers(1, 600), st.booleans(), st.data())
def test_a_batch_fits_its_shape_and_fixed_shapes_are_those_that_were_run(
    rows: int, longest: int, fixed: bool, data: st.DataObject
) -> None:
    shapes = BatchShapes(rows=rows, longest=longest, fixed=fixed)
    texts = data.draw(st.lists(st.integers(1, longest), min_size=1, max_size=rows))
    found_rows, length = shapes.fitting(texts)
    assert len(texts) <= found_rows <= rows
    assert max(texts) <= length <= longest
    if fixed:
        assert found_rows in shapes.row_counts
        assert length in shapes.lengths
        assert len(shapes.row_counts) * len(shapes.lengths) <= 12
    else:
        assert found_rows == len(texts)
        assert length < max(texts) + 8


def test_lengths_double() -> None:
    assert BatchShapes(rows=32, longest=256, fixed=True).lengths == (32, 64, 128, 256)
    assert BatchShapes(rows=32, longest=100, fixed=True).lengths == (32, 64, 100)
    assert BatchShapes(rows=32, longest=8, fixed=True).lengths == (8,)
    assert BatchShapes(rows=32, longest=256, fixed=True).row_counts == (32, 8)
    assert BatchShapes(rows=2, longest=256, fixed=True).row_counts == (2,)
