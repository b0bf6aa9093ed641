"""Keeps a search and proposes settings, with Optuna: the owner of that library."""

from ipexlaunch.keep_study.study import OptunaStudy, open_study, require_optuna

__all__ = ["OptunaStudy", "open_study", "require_optuna"]
