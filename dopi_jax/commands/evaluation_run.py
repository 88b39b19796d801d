"""The earlier place of `dopi_jax.experiments.evaluation_run`, for scripts that import it from here."""

from dopi_jax.experiments.evaluation_run import EvaluationRun

__all__ = ["EvaluationRun"]
