"""XGBoost and LightGBM as onnxmltools exports them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from exports.export import Export
from exports.from_scikit_learn import Split, split


def export(model: Any, data: Split, convert: str, **options: Any) -> Export:
    import onnxmltools
    from onnxmltools.convert.common.data_types import FloatTensorType

    model.fit(data.training, data.classes)
    inputs = [("input", FloatTensorType([None, data.rows.shape[1]]))]
    graph = getattr(onnxmltools, convert)(model, initial_types=inputs, **options)
    return Export(
        model=graph.SerializeToString(),
        rows=data.rows.tolist(),
        probabilities=np.asarray(model.predict_proba(data.rows), dtype=np.float64),
        labels=data.names,
        labels_in_graph=True,
    )


def xgboost() -> Export:
    from sklearn.datasets import load_wine
    from xgboost import XGBClassifier

    return export(XGBClassifier(n_estimators=30, n_jobs=1), split(load_wine), "convert_xgboost")


def xgboost_binary() -> Export:
    from sklearn.datasets import load_breast_cancer
    from xgboost import XGBClassifier

    return export(XGBClassifier(n_estimators=30, n_jobs=1), split(load_breast_cancer), "convert_xgboost")


def lightgbm() -> Export:
    from lightgbm import LGBMClassifier
    from sklearn.datasets import load_wine

    model = LGBMClassifier(n_estimators=30, n_jobs=1, verbose=-1)
    return export(model, split(load_wine, names=True), "convert_lightgbm", zipmap=False)


def lightgbm_binary_zipmap() -> Export:
    from lightgbm import LGBMClassifier
    from sklearn.datasets import load_breast_cancer

    model = LGBMClassifier(n_estimators=30, n_jobs=1, verbose=-1)
    return export(model, split(load_breast_cancer, names=True), "convert_lightgbm")


BOOSTING: dict[str, Callable[[], Export]] = {
    "xgboost": xgboost,
    "xgboost_binary": xgboost_binary,
    "lightgbm": lightgbm,
    "lightgbm_binary_zipmap": lightgbm_binary_zipmap,
}
