"""How far answers may be from eager fp32's, for each dtype; figures come in as values, a verdict goes out."""

from __future__ import annotations

from dataclasses import dataclass

from ipexlaunch.models.engines.candidate import Dtype


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerSimilarity:
    """What a comparison with eager fp32 on the same input found; None where the task has no such figure."""

    cosine: float | None = None
    """Of each input's output with the reference's, the worst; -1 to 1."""
    agreement: float | None = None
    """Share of positions (of inputs, for classes) whose largest logit is the reference's; 0 to 1."""
    logit_error: float | None = None
    """|logits - reference| / |reference|, both with their mean over the vocabulary taken off; 0 is the same."""

    @property
    def words(self) -> str:
        """For tables: "cosine 0.9991", "agreement 97.0 %, logit error 0.012"."""
        cosine = None if self.cosine is None else f"cosine {self.cosine:.4f}"
        agreement = None if self.agreement is None else f"agreement {self.agreement:.1%}"
        error = None if self.logit_error is None else f"logit error {self.logit_error:.2g}"
        return ", ".join(filter(None, (cosine, agreement, error)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What answers must keep."""

    cosine: float
    agreement: float
    """Only for trained weights: random ones make logits so close together that rounding decides."""
    logit_error: float


BOUNDS: dict[Dtype, Bound] = {
    "fp32": Bound(cosine=0.999, agreement=0.99, logit_error=0.01),
    "bf16": Bound(cosine=0.995, agreement=0.9, logit_error=0.1),
    "fp16": Bound(cosine=0.995, agreement=0.9, logit_error=0.1),
    "int8": Bound(cosine=0.995, agreement=0.85, logit_error=0.2),
    "int4": Bound(cosine=0.97, agreement=0.6, logit_error=0.8),
}
"""Cosines as people accept them of sentence embeddings. Those of logits tell rounding from wrong kernels: bf16 keeps 8
bits and int8 about 7, which by the last layer is an error of some per cent; int4 by plain rounding one of 20 to 50; a
kernel that is wrong gives about 1.4 (unrelated logits) and no agreement."""


def judge(answers: AnswerSimilarity, dtype: Dtype, *, random_weights: bool = False) -> str:
    """What is wrong with the answers, with its numbers; "" where they keep the bound of their dtype.

    Args:
        answers: the figures. None at all, or one that is not a number, is wrong too.
        dtype: of the candidate that gave them.
        random_weights: the model was not trained, so which logit is the largest says little.
    """
    bound = BOUNDS[dtype]
    checks = (
        ("the worst cosine", answers.cosine, bound.cosine, True),
        ("agreement", None if random_weights else answers.agreement, bound.agreement, True),
        ("the logit error", answers.logit_error, bound.logit_error, False),
    )
    wrong = [
        f"{name} with eager fp32 is {value:.4g}, {dtype} must keep {'at least' if at_least else 'at most'} {limit:g}"
        for name, value, limit, at_least in checks
        if value is not None and not (value >= limit if at_least else value <= limit)  # so that NaN is wrong
    ]
    if all(value is None for _, value, _, _ in checks):
        return "there is nothing to compare with eager fp32"
    return "; ".join(wrong)
