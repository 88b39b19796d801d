import numpy as np
import pytest

from dopi_jax.errors import UserError
from dopi_jax.evaluation import occlusion_metrics, pool_occlusion_metrics

GT = np.array([[True, True, True, False, False, False]])


def test_worked_example():
    """Two of three found, and one too many."""
    metrics = occlusion_metrics(GT, np.array([[True, True, False, True, False, False]]))
    assert metrics["precision"] == pytest.approx(2 / 3) and metrics["recall"] == pytest.approx(2 / 3)
    assert metrics["f1"] == pytest.approx(2 / 3)
    assert (metrics["true_positives"], metrics["false_positives"], metrics["false_negatives"]) == (2, 1, 1)


def test_only_valid_pixels_count():
    metrics = occlusion_metrics(GT, ~GT, np.array([[False, True, True, True, False, False]]))
    assert (metrics["true_positives"], metrics["false_positives"], metrics["false_negatives"]) == (0, 1, 2)
    assert metrics["precision"] == metrics["recall"] == metrics["f1"] == 0


def test_nothing_to_find():
    nothing = np.zeros((2, 3), bool)
    assert occlusion_metrics(nothing, nothing)["f1"] == 1
    false_alarm = occlusion_metrics(nothing, ~nothing)
    assert (false_alarm["precision"], false_alarm["recall"], false_alarm["f1"]) == (0, 1, 0)


def test_pooling_weighs_pixels_not_images():
    few = occlusion_metrics(np.array([True]), np.array([False]))
    many = occlusion_metrics(np.ones(9, bool), np.ones(9, bool))
    pooled = pool_occlusion_metrics([few, many])
    assert (pooled["recall"], pooled["precision"], pooled["images"]) == (0.9, 1.0, 2)
    with pytest.raises(UserError, match="no image was evaluated"):
        pool_occlusion_metrics([])


def test_shapes_must_agree():
    with pytest.raises(UserError, match=r"true occlusion is \(1, 6\), predicted occlusion \(6,\)"):
        occlusion_metrics(GT, GT[0])
