"""
Print the figures of the model card: 20-fold cross-validation, each fold answered by what the other 19 taught.

    python models/hotel-requests/evaluate.py --data PATH/nlupp-hotels --out build/hotel-requests-out-of-fold.npz

Vocabulary, weights and rarities are learnt anew for every fold. `--out` writes
logits and labels for `softgate calibrate`; temperature and threshold are those
of calibration.json, where there is one already.
"""

import argparse
import json
import time
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from detectors import Floats
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline, make_union
from train import N_FOLDS, Requests, fit, read_requests

Bools = NDArray[np.bool_]
THRESHOLDS = np.arange(5, 96) / 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with fold0.json to fold19.json")
    parser.add_argument("--out", type=Path, help="write the out-of-fold logits and labels here, as .npz")
    arguments = parser.parse_args()
    requests = read_requests(arguments.data)
    routing = tomllib.loads((Path(__file__).parent / "classifier.toml").read_text(encoding="utf-8"))["routing"]
    logits = out_of_fold_logits(requests)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        np.savez(arguments.out, logits=logits.astype(np.float32), labels=requests.holds.astype(np.int8))
    temperature = fitted_temperature(logits, requests.holds)
    probabilities = expit(logits / temperature)
    baseline = baseline_probabilities(requests)
    _report_probabilities(logits, requests.holds, temperature)
    for name, answers in (("this model", probabilities), ("baseline", baseline)):
        best = best_threshold(answers, requests.holds)
        _report_f1(f"{name}, 0.5", answers >= 0.5, requests)
        _report_f1(f"{name}, {best}, its best", answers >= best, requests)
        _report_f1(f"{name}, cross-fitted", cross_fitted(answers, requests), requests)
    calibration = Path(__file__).parent / "1" / "calibration.json"
    if not calibration.exists():
        return
    read = json.loads(calibration.read_text(encoding="utf-8"))
    fitted, threshold = expit(logits / read["temperature"]), read["thresholds"]["default"]
    _report_f1(f"this model, {threshold:.4f}, promised", fitted >= threshold, requests)
    _report_labels(fitted >= threshold, requests)
    for name, at in (("promised", threshold), ("best for F1", best_threshold(fitted, requests.holds))):
        print(f"{name}, {at:.4f}:")
        _report_routes(fitted, requests, routing, threshold=at)


def out_of_fold_logits(requests: Requests) -> Floats:
    """Each row through the ONNX graph that its fold had no part in, one row at a time as it is served."""
    logits = np.empty(requests.holds.shape)
    milliseconds = []
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    for fold in range(N_FOLDS):
        others = requests.folds != fold
        texts = [text for text, other in zip(requests.texts, others, strict=True) if other]
        tokenizer, model = fit(texts, requests.holds[others])
        session = onnxruntime.InferenceSession(model.SerializeToString(), options)
        for index in np.flatnonzero(~others):
            start = time.perf_counter()
            ids = np.array(tokenizer.encode(requests.texts[index]).ids, np.int64).reshape(1, -1)
            logits[index] = session.run(["logits"], {"input_ids": ids})[0][0]
            milliseconds.append(1e3 * (time.perf_counter() - start))
    p50, p99 = np.quantile(milliseconds, [0.5, 0.99])
    print(f"tokenization and graph: p50 {p50:.2f} ms, p99 {p99:.2f} ms")
    return logits


def baseline_probabilities(requests: Requests) -> Floats:
    """scikit-learn alone: TF-IDF of words, word pairs and character n-grams, one logistic regression per label."""
    probabilities = np.empty(requests.holds.shape)
    for fold in range(N_FOLDS):
        mine = requests.folds == fold
        pipeline = make_pipeline(
            make_union(
                TfidfVectorizer(ngram_range=(1, 2), strip_accents="unicode"),
                TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), strip_accents="unicode"),
            ),
            OneVsRestClassifier(LogisticRegression(C=30, class_weight="balanced", solver="liblinear")),
        )
        texts = np.array(requests.texts, dtype=object)
        pipeline.fit(texts[~mine], requests.holds[~mine].astype(int))
        probabilities[mine] = pipeline.predict_proba(texts[mine])
    return probabilities


def f1(answers: Bools, holds: Bools) -> tuple[float, float]:
    """Macro and micro F1 from counts; a label that neither holds nor is answered counts as 0."""
    hits, wanted = (answers & holds).sum(axis=0), answers.sum(axis=0) + holds.sum(axis=0)
    return float((2 * hits / np.maximum(wanted, 1)).mean()), float(2 * hits.sum() / max(wanted.sum(), 1))


def best_threshold(probabilities: Floats, holds: Bools) -> float:
    """The lowest of those with the highest micro F1."""
    return float(THRESHOLDS[np.argmax([f1(probabilities >= threshold, holds)[1] for threshold in THRESHOLDS])])


def cross_fitted(probabilities: Floats, requests: Requests) -> Bools:
    """Each fold answered at the threshold that is best on the others: what choosing it is worth on new rows."""
    thresholds = [
        best_threshold(probabilities[requests.folds != fold], requests.holds[requests.folds != fold])
        for fold in range(N_FOLDS)
    ]
    answers: Bools = probabilities >= np.array(thresholds)[requests.folds, None]
    return answers


def negative_log_likelihood(logits: Floats, holds: Bools) -> float:
    """Mean over all pairs of row and label."""
    return float(np.logaddexp(0, np.where(holds, -logits, logits)).mean())


def expected_calibration_error(probabilities: Floats, holds: Bools, *, n_bins: int = 15) -> float:
    """Mean distance of frequency and probability over bins of equal width, weighted by their pairs."""
    bins = np.minimum((probabilities * n_bins).astype(int), n_bins - 1)
    return float(np.abs(np.bincount(bins.ravel(), (holds - probabilities).ravel(), n_bins)).sum() / holds.size)


def fitted_temperature(logits: Floats, holds: Bools) -> float:
    found = minimize_scalar(
        lambda log: negative_log_likelihood(logits / np.exp(log), holds), bounds=(-3, 3), method="bounded"
    )
    return float(np.exp(found.x))


def _report_probabilities(logits: Floats, holds: Bools, temperature: float) -> None:
    for t in (1.0, temperature):
        nll = negative_log_likelihood(logits / t, holds)
        print(f"T = {t:.4f}: nll {nll:.4f}, ece15 {expected_calibration_error(expit(logits / t), holds):.4f}")


def _report_f1(name: str, answers: Bools, requests: Requests) -> None:
    macro, micro = f1(answers, requests.holds)
    oracle = [f1_score(requests.holds, answers, average=average, zero_division=0) for average in ("macro", "micro")]
    masks = [requests.folds == fold for fold in range(N_FOLDS)]
    folds = [f1(answers[mask], requests.holds[mask])[1] for mask in masks]
    # A fold of 50 rows lacks several labels; macro over those it has, or answers.
    macros = [
        f1_score(
            requests.holds[mask][:, seen],
            answers[mask][:, seen],
            average="macro",
            zero_division=0,
        )
        for mask in masks
        for seen in [(requests.holds[mask] | answers[mask]).any(axis=0)]
    ]
    print(f"| {name} | {macro:.4f} | {micro:.4f} | scikit-learn {oracle[0]:.4f} {oracle[1]:.4f} |", end=" ")
    for values in (macros, folds):
        print(f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f} |", end=" ")
    print(f"lowest fold {min(folds):.4f}, highest {max(folds):.4f}")


def _report_labels(answers: Bools, requests: Requests) -> None:
    scores = f1_score(requests.holds, answers, average=None, zero_division=0)
    order = np.argsort(scores)
    for name, chosen in (("weakest", order[:8]), ("strongest", order[:-6:-1])):
        shown = (f"{requests.labels[i]} {scores[i]:.2f} ({requests.holds[:, i].sum()} rows)" for i in chosen)
        print(f"{name}: {', '.join(shown)}")
    same = (answers == requests.holds).all(axis=1).mean()
    print(f"all labels of a row right: {same:.4f}")


def _report_routes(probabilities: Floats, requests: Requests, routing: dict[str, Any], *, threshold: float) -> None:
    places = {label: place for place, label in enumerate(routing["priority"])}
    ranks = np.array([places.get(label, len(places)) for label in requests.labels])
    desks = np.array([routing["routes"].get(label, label) for label in requests.labels])
    held = probabilities >= threshold
    # First by priority, the most probable among those of one rank.
    first = np.where(held, ranks - probabilities, np.inf).argmin(axis=1)
    routed, empty = held.any(axis=1), ~requests.holds.any(axis=1)
    right = (requests.holds & (desks[None, :] == desks[first][:, None])).any(axis=1)
    print(f"routed {routed.mean():.4f}, of them to a desk of a true label {right[routed].mean():.4f}")
    print(f"fallback: {(~routed[empty]).mean():.4f} of the {empty.sum()} rows without a label,", end=" ")
    print(
        f"{(~routed[~empty]).mean():.4f} of the others; of routed rows with a label {right[routed & ~empty].mean():.4f}"
    )


if __name__ == "__main__":
    main()
