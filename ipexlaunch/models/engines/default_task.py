"""What a model is for, by the name of its architecture."""

from __future__ import annotations

from ipexlaunch.models.engines.model_job import Task


def natural_task(architecture: str) -> Task:
    """generate for models with a language head, classify for classifiers, embed for the rest.

    Args:
        architecture: as transformers' config.json names it, e.g. "BertModel"; "" where it names none.
    """
    if architecture.endswith("ForSequenceClassification"):
        return "classify"
    if architecture.endswith(("ForCausalLM", "LMHeadModel")) and not architecture.startswith("Bert"):
        return "generate"
    return "embed"
