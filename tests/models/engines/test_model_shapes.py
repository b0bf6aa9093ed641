"""models/engines/model_shapes.py and model_job.py: names that make models, and jobs that travel as JSON."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.errors import RequestError
from ipexlaunch.models.engines.candidate import Candidate, floating
from ipexlaunch.models.engines.model_job import SHAPES, TASKS, ModelJob, is_random, shape_of


def test_every_shape_is_found_by_its_name() -> None:
    for name, shape in SHAPES.items():
        assert is_random(f"random:{name}")
        assert shape_of(f"random:{name}") is shape
        assert shape.name == name


def test_a_directory_is_not_random() -> None:
    assert not is_random("models/bert-base")


def test_an_unknown_name_tells_the_known_ones() -> None:
    with pytest.raises(RequestError, match=r"random model 'bert'.*minilm.*bert-base.*llama-160m"):
        shape_of("random:bert")


@pytest.mark.parametrize("shape", SHAPES.values(), ids=lambda shape: shape.name)
def test_heads_divide_what_they_share(shape: object) -> None:
    fields = getattr(shape, "fields")  # noqa: B009
    hidden = fields.get("hidden_size", fields.get("n_embd"))
    heads = fields.get("num_attention_heads", fields.get("n_head"))
    assert hidden % heads == 0
    assert heads % fields.get("num_key_value_heads", heads) == 0


@given(
    st.sampled_from(TASKS),
    st.text(max_size=20),
    st.integers(1, 512),
    st.sampled_from([floating("torch", "bf16"), Candidate(engine="ipex", dtype="int4", scheme="weight-only")]),
)
def test_a_job_comes_back_from_its_json(task: str, model: str, batch: int, candidate: Candidate) -> None:
    job = ModelJob(model=model, task=task, batch_size=batch, candidate=candidate)  # type: ignore[arg-type]
    assert ModelJob.from_json(job.to_json()) == job
    assert "\n" not in job.to_json()
