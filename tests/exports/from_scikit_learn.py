"""Classifiers of scikit-learn as skl2onnx exports them, on the data sets that scikit-learn brings along."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from exports.export import Activation, Export, Floats, of_scores
from exports.sentences import TRAINING, UNSEEN

N_ROWS = 50


class Split(NamedTuple):
    """Rows to train on, and rows the model has not seen."""

    training: Floats
    classes: NDArray[Any]
    rows: Floats
    names: tuple[str, ...]


def split(load: Callable[[], Any], *, names: bool = False) -> Split:
    """Shuffled; `names` makes the classes strings where they are numbers."""
    data = load()
    order = np.random.default_rng(0).permutation(len(data.data))
    # In float64, as they are and as JSON brings them. HistGradientBoosting and LightGBM split in float64, at or beside
    # values they have seen: of rows rounded to float32, up to one in twenty gets another answer of them.
    rows = data.data[order]
    classes = data.target_names[data.target[order]] if names else data.target[order]
    found = tuple(str(name) for name in np.unique(classes))
    return Split(rows[N_ROWS:], classes[N_ROWS:], rows[:N_ROWS], found)


def to_onnx(model: Any, n_features: int, **options: Any) -> bytes:
    """As the exporter's documentation says, with options for the last step."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    last = model.steps[-1][1] if hasattr(model, "steps") else model
    inputs = [("X", FloatTensorType([None, n_features]))]
    with integers_for_booleans():
        graph = to_onnx(model, initial_types=inputs, options={id(last): options} if options else None)
    return bytes(graph.SerializeToString())


@contextmanager
def integers_for_booleans() -> Iterator[None]:
    """For HistGradientBoosting skl2onnx 1.20 hands booleans to an attribute of integers, which protobuf 7 refuses."""
    import onnx
    from skl2onnx.common import _container

    def make_node(*names: Any, **attributes: Any) -> onnx.NodeProto:
        tracks = attributes.get("nodes_missing_value_tracks_true")
        if tracks is not None:
            attributes["nodes_missing_value_tracks_true"] = [int(one) for one in tracks]
        return onnx.helper.make_node(*names, **attributes)

    with patch.object(_container, "make_node", make_node):
        yield


def export(model: Any, data: Split, *, output: str = "probabilities", in_graph: bool = True, **options: Any) -> Export:
    """A classifier that gives probabilities."""
    model.fit(data.training, data.classes)
    return Export(
        model=to_onnx(model, data.rows.shape[1], **options),
        rows=data.rows.tolist(),
        probabilities=np.asarray(model.predict_proba(data.rows)),
        labels=data.names,
        labels_in_graph=in_graph,
        output=output,
    )


def export_scores(model: Any, data: Split, **options: Any) -> Export:
    """A classifier that gives decision values: one per class, or one in all for two classes."""
    model.fit(data.training, data.classes)
    scores = model.decision_function(data.rows)
    activation: Activation = "sigmoid" if scores.ndim == 1 else "softmax"
    return Export(
        model=to_onnx(model, data.rows.shape[1], **options),
        rows=data.rows.tolist(),
        probabilities=of_scores(scores, activation=activation),
        labels=data.names,
        labels_in_graph=True,
        activation=activation,
    )


def scaled(model: Any) -> Any:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), model)


def logistic_zipmap_of_integers() -> Export:
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    return export(LogisticRegression(max_iter=500), split(load_iris), output="output_probability")


def logistic_zipmap_of_strings() -> Export:
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    return export(LogisticRegression(max_iter=500), split(load_iris, names=True), output="output_probability")


def logistic_tensor() -> Export:
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    return export(LogisticRegression(max_iter=500), split(load_iris, names=True), zipmap=False)


def logistic_raw_scores() -> Export:
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    return export_scores(LogisticRegression(max_iter=500), split(load_iris, names=True), zipmap=False, raw_scores=True)


def logistic_binary_zipmap() -> Export:
    from sklearn.datasets import load_breast_cancer
    from sklearn.linear_model import LogisticRegression

    return export(scaled(LogisticRegression()), split(load_breast_cancer, names=True), output="output_probability")


def random_forest() -> Export:
    from sklearn.datasets import load_wine
    from sklearn.ensemble import RandomForestClassifier

    return export(RandomForestClassifier(30, random_state=0), split(load_wine), zipmap=False)


def hist_gradient_boosting() -> Export:
    from sklearn.datasets import load_wine
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(max_iter=30, random_state=0)
    return export(model, split(load_wine, names=True), zipmap=False)


def hist_gradient_boosting_binary() -> Export:
    from sklearn.datasets import load_breast_cancer
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(max_iter=30, random_state=0)
    return export(model, split(load_breast_cancer, names=True), zipmap=False)


def multilayer_perceptron() -> Export:
    from sklearn.datasets import load_digits
    from sklearn.neural_network import MLPClassifier

    return export(MLPClassifier((32,), max_iter=300, random_state=0), split(load_digits), zipmap=False)


def multilayer_perceptron_binary_zipmap() -> Export:
    from sklearn.datasets import load_breast_cancer
    from sklearn.neural_network import MLPClassifier

    model = scaled(MLPClassifier((16,), max_iter=500, random_state=0))
    return export(model, split(load_breast_cancer, names=True), output="output_probability")


def linear_svc() -> Export:
    from sklearn.datasets import load_wine
    from sklearn.svm import LinearSVC

    # In a pipeline skl2onnx 1.20 asks LinearSVC for the option zipmap, which it has not, unless given another for it.
    return export_scores(scaled(LinearSVC()), split(load_wine, names=True), nocl=False)


def linear_svc_binary() -> Export:
    from sklearn.datasets import load_breast_cancer
    from sklearn.svm import LinearSVC

    return export_scores(scaled(LinearSVC()), split(load_breast_cancer, names=True), nocl=False)


def linear_svc_binary_raw_scores() -> Export:
    """Two columns, a score and its negative, where the graph declares one."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.svm import LinearSVC

    return export_scores(scaled(LinearSVC()), split(load_breast_cancer, names=True), raw_scores=True)


def calibrated_svc() -> Export:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.datasets import load_iris
    from sklearn.svm import LinearSVC

    model = CalibratedClassifierCV(LinearSVC(), cv=3)
    return export(model, split(load_iris, names=True), zipmap=False)


def multi_label(model: Any) -> Export:
    """Which of three statements hold of a flower; the graph numbers them at best."""
    from sklearn.datasets import load_iris

    data = split(load_iris)
    statements = np.stack([data.classes == 0, data.classes >= 1, data.training[:, 0] > 5.8], axis=1).astype(np.int64)
    model.fit(data.training, statements)
    return Export(
        model=to_onnx(model, data.rows.shape[1], zipmap=False),
        rows=data.rows.tolist(),
        probabilities=np.asarray(model.predict_proba(data.rows)),
        labels=("setosa", "other", "long"),
        multi_label=True,
    )


def one_vs_rest_multi_label() -> Export:
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    return multi_label(OneVsRestClassifier(LogisticRegression(max_iter=500)))


def multilayer_perceptron_multi_label() -> Export:
    from sklearn.neural_network import MLPClassifier

    return multi_label(MLPClassifier((16,), max_iter=1000, random_state=0))


def mixed_columns() -> Export:
    """One input of shape (n_rows, 1) per column, numbers and strings. A category never seen is none of them."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    random = np.random.default_rng(0)
    n = 400
    table = np.empty((n, 4), dtype=object)
    table[:, 0] = random.normal(40, 10, n).astype(np.float32)
    table[:, 1] = random.poisson(3, n).astype(np.float32)
    table[:, 2] = random.choice(["Oslo", "Paris", "Rome"], n)
    table[:, 3] = random.choice(["free", "pro"], n)
    leaves = (table[:, 0] > 40) ^ (table[:, 3] == "pro") | (table[:, 2] == "Rome") & (table[:, 1] > 3)
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), [0, 1]),
            ("categories", OneHotEncoder(handle_unknown="ignore"), [2, 3]),
        ]
    )
    model = make_pipeline(columns, LogisticRegression())
    model.fit(table[N_ROWS:], np.where(leaves, "leaves", "stays")[N_ROWS:])
    rows = table[:N_ROWS]
    rows[0, 2] = "Tromsø"
    names = ("age", "calls", "city", "plan")
    kinds = [FloatTensorType, FloatTensorType, StringTensorType, StringTensorType]
    inputs = [(name, kind([None, 1])) for name, kind in zip(names, kinds, strict=True)]
    graph = to_onnx(model, initial_types=inputs, options={id(model): {"zipmap": False}})
    return Export(
        model=graph.SerializeToString(),
        rows=[dict(zip(names, [float(a), float(b), c, d], strict=True)) for a, b, c, d in rows],
        probabilities=np.asarray(model.predict_proba(rows)),
        labels=("leaves", "stays"),
        labels_in_graph=True,
    )


def sentences(*, lowercase: bool, tokenexp: str | None, **vectorizer: Any) -> Export:
    """TF-IDF and logistic regression in one graph of strings."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import StringTensorType
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(TfidfVectorizer(lowercase=lowercase, **vectorizer), LogisticRegression())
    model.fit([text for text, _ in TRAINING], [intent for _, intent in TRAINING])
    # The exporter's own pattern knows no letter beyond ASCII, and for pairs of words it counts one-letter words too.
    texts = UNSEEN if tokenexp else [text for text in UNSEEN if text.isascii()]
    options: dict[int, Any] = {id(model): {"zipmap": False}}
    if tokenexp:
        options[id(model.steps[0][1])] = {"tokenexp": tokenexp}
    graph = to_onnx(model, initial_types=[("text", StringTensorType([None, 1]))], options=options)
    return Export(
        model=graph.SerializeToString(),
        rows=texts,
        probabilities=np.asarray(model.predict_proba(texts)),
        labels=("balance", "block", "pay"),
        labels_in_graph=True,
        needs_locale=lowercase,
    )


# scikit-learn's own pattern in the words of RE2, which has \w for ASCII alone: without it every accented word differs.
UNICODE_WORDS = r"[\p{L}\p{N}_][\p{L}\p{N}_]+"


def tfidf() -> Export:
    return sentences(lowercase=True, tokenexp=None)


def tfidf_unicode() -> Export:
    return sentences(lowercase=True, tokenexp=UNICODE_WORDS)


def tfidf_pairs_of_words() -> Export:
    return sentences(lowercase=True, tokenexp=UNICODE_WORDS, ngram_range=(1, 2))


def tfidf_case_kept() -> Export:
    """Loads everywhere: there is no case to change, hence no locale to look for."""
    return sentences(lowercase=False, tokenexp=UNICODE_WORDS)


SCIKIT_LEARN: dict[str, Callable[[], Export]] = {
    "logistic_zipmap_of_integers": logistic_zipmap_of_integers,
    "logistic_zipmap_of_strings": logistic_zipmap_of_strings,
    "logistic_tensor": logistic_tensor,
    "logistic_raw_scores": logistic_raw_scores,
    "logistic_binary_zipmap": logistic_binary_zipmap,
    "random_forest": random_forest,
    "hist_gradient_boosting": hist_gradient_boosting,
    "hist_gradient_boosting_binary": hist_gradient_boosting_binary,
    "multilayer_perceptron": multilayer_perceptron,
    "multilayer_perceptron_binary_zipmap": multilayer_perceptron_binary_zipmap,
    "linear_svc": linear_svc,
    "linear_svc_binary": linear_svc_binary,
    "linear_svc_binary_raw_scores": linear_svc_binary_raw_scores,
    "calibrated_svc": calibrated_svc,
    "one_vs_rest_multi_label": one_vs_rest_multi_label,
    "multilayer_perceptron_multi_label": multilayer_perceptron_multi_label,
    "mixed_columns": mixed_columns,
    "tfidf": tfidf,
    "tfidf_unicode": tfidf_unicode,
    "tfidf_pairs_of_words": tfidf_pairs_of_words,
    "tfidf_case_kept": tfidf_case_kept,
}
