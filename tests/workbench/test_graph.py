"""Files as exporters write them, cut down to what is read of them, and files that mean harm."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

import hostile
from softgate.errors import GraphInvalid
from softgate.runtime.external import External
from softgate.workbench.ends import Categories, ClassNames, Ending
from softgate.workbench.graph import GraphFacts, graph_facts

ML = "ai.onnx.ml"


def value(name: str, kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, None)


def model(
    nodes: Sequence[NodeProto],
    *constants: TensorProto,
    inputs: Sequence[str] = ("x",),
    outputs: Sequence[str] = ("y",),
    **fields: Any,
) -> ModelProto:
    graph = helper.make_graph(nodes, "graph", [*map(value, inputs)], [*map(value, outputs)], constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(ML, 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9, **fields)


def facts(whole: ModelProto) -> GraphFacts:
    return graph_facts(whole.SerializeToString())


def constant(name: str, values: Any, dtype: Any = np.float32) -> TensorProto:
    return numpy_helper.from_array(np.array(values, dtype=dtype), name)


def branch(*nodes: NodeProto, constants: Sequence[TensorProto] = ()) -> GraphProto:
    return helper.make_graph(nodes, "branch", [], [value("inner")], constants)


def test_the_head_of_the_file() -> None:
    found = facts(model([helper.make_node("Relu", ["x"], ["y"])], producer_name="maker", producer_version="1.2"))

    assert (found.producer, found.ir_version, found.opsets) == ("maker 1.2", 9, {"ai.onnx": 17, ML: 3})


def test_parameters_are_counted_wherever_they_are() -> None:
    linear = helper.make_node("LinearClassifier", ["x"], ["l", "y"], domain=ML, coefficients=[1.0, 2.0, 3.0])
    inner = helper.make_node("Constant", [], ["inner"], value=constant("", [1, 2]))
    chosen = helper.make_node("If", ["c"], ["z"], then_branch=branch(inner), else_branch=branch(inner))

    found = facts(model([linear, chosen], constant("w", np.ones((4, 5))), outputs=("y", "z")))

    assert found.n_parameters == 3 + 2 + 2 + 20
    # Besides the numbers themselves, a few bytes of names and shapes.
    assert 0 <= found.n_parameter_bytes - 4 * found.n_parameters < 64


def test_nan_and_infinities_are_counted_apart() -> None:
    found = graph_facts(hostile.sick_weights())

    assert (found.nan, found.infinite) == ({"weights": 1}, {"weights": 2})


def test_nan_is_found_in_attributes_and_subgraphs() -> None:
    linear = helper.make_node("LinearClassifier", ["x"], ["l", "y"], name="last", domain=ML, coefficients=[np.nan, 1.0])
    inner = branch(helper.make_node("Identity", ["deep"], ["inner"]), constants=[constant("deep", [np.inf, np.nan])])
    chosen = helper.make_node("If", ["c"], ["z"], then_branch=inner, else_branch=branch())

    found = facts(model([linear, chosen], outputs=("y", "z")))

    assert found.nan == {"last.coefficients": 1, "deep": 1}
    assert found.infinite == {"deep": 1}


@pytest.mark.parametrize(
    "kind", [TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE, TensorProto.FLOAT8E5M2]
)
def test_every_kind_of_float_is_looked_through(kind: int) -> None:
    weights = helper.make_tensor("w", kind, [3], [1.0, float("nan"), 2.0])

    assert facts(model([], weights)).nan == {"w": 1}


@pytest.mark.parametrize("kind", [TensorProto.FLOAT8E4M3FN, TensorProto.FLOAT8E4M3FNUZ, TensorProto.FLOAT4E2M1])
def test_kinds_without_an_infinity_have_none(kind: int) -> None:
    weights = helper.make_tensor("w", kind, [2], [1.0, 2.0])

    assert (facts(model([], weights)).nan, facts(model([], weights)).infinite) == ({}, {})


def test_foreign_operators_are_found_in_subgraphs_and_functions() -> None:
    evil = helper.make_node("Worse", [], ["inner"], domain="evil.example")
    loop = helper.make_node("Loop", ["m", "c"], ["y"], body=branch(evil))
    own = helper.make_function(
        "own", "Mine", ["a"], ["b"], [helper.make_node("Bad", ["a"], ["b"], domain="evil.example")], []
    )
    nodes = [
        loop,
        helper.make_node("Mine", ["x"], ["z"], domain="own"),
        helper.make_node("Tokenizer", ["x"], ["t"], domain="com.microsoft"),
        helper.make_node("StringLower", ["x"], ["u"], domain="ai.onnx.contrib"),
    ]

    found = facts(model(nodes, functions=[own]))

    assert found.foreign == {"ai.onnx.contrib": ("StringLower",), "evil.example": ("Bad", "Worse")}


def test_external_data_is_listed_and_not_opened() -> None:
    outside = hostile.external_tensor
    sparse = helper.make_sparse_tensor(outside("values", "/etc/s"), constant("i", [0], np.int64), [9])
    inner = branch(helper.make_node("Constant", [], ["inner"], value=outside("", "../attribute")))
    whole = model(
        [helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=branch())], outside("w", "/etc/w")
    )
    whole.graph.sparse_initializer.append(sparse)

    assert set(facts(whole).external) == {
        External("w", "/etc/w"),
        External("values", "/etc/s"),
        External("inner.value", "../attribute"),
    }


@pytest.mark.parametrize(
    ("last", "operators", "post_transform"),
    [
        ([("Softmax", "x", "y", {})], ("Softmax",), None),
        ([("Sigmoid", "x", "a", {}), ("Cast", "a", "b", {"to": 1}), ("Flatten", "b", "y", {})], ("Sigmoid",), None),
        ([("Identity", "x", "y", {})], (), None),
        ([("SVMClassifier", "x", "y", {"post_transform": "LOGISTIC"})], ("SVMClassifier",), "LOGISTIC"),
        ([("TreeEnsembleClassifier", "x", "y", {})], ("TreeEnsembleClassifier",), "NONE"),
        (
            [
                ("LinearClassifier", "x", "a", {"post_transform": "SOFTMAX"}),
                ("Normalizer", "a", "b", {"norm": "L1"}),
                ("ZipMap", "b", "y", {"classlabels_strings": ["a"]}),
            ],
            ("ZipMap", "Normalizer", "LinearClassifier"),
            "SOFTMAX",
        ),
    ],
)
def test_an_output_is_followed_back_to_what_makes_its_numbers(
    last: Any, operators: tuple[str, ...], post_transform: str | None
) -> None:
    ml = {"ZipMap", "Normalizer", "LinearClassifier", "TreeEnsembleClassifier", "SVMClassifier"}
    nodes = [
        helper.make_node(kind, [source], [result], domain=ML if kind in ml else "", **attributes)
        for kind, source, result, attributes in last
    ]

    assert facts(model(nodes)).endings == (Ending("y", operators, post_transform),)


def test_a_foreign_softmax_is_not_taken_for_one() -> None:
    nodes = [helper.make_node("Softmax", ["x"], ["y"], domain="evil.example")]

    assert facts(model(nodes)).endings[0].operators == ("evil.example:Softmax",)


def test_a_circle_of_nodes_ends() -> None:
    nodes = [helper.make_node("Identity", ["b"], ["y"]), helper.make_node("Identity", ["y"], ["b"])]

    assert facts(model(nodes)).endings == (Ending("y", (), None),)


def test_class_names_as_skl2onnx_writes_them_the_likeliest_first() -> None:
    nodes = [
        # One of a one-against-the-rest, and then what tells the label.
        helper.make_node("LinearClassifier", ["x"], ["l", "p"], domain=ML, classlabels_ints=[0, 1]),
        helper.make_node("ArrayFeatureExtractor", ["names", "index"], ["label"], domain=ML),
        helper.make_node("ZipMap", ["p"], ["y"], domain=ML, classlabels_strings=["rot", "grün", "blau"]),
    ]

    found = facts(model(nodes, constant("names", ["red", "green", "blue"], np.object_)))

    assert found.classes == (
        ClassNames("ZipMap", ("rot", "grün", "blau")),
        ClassNames("ArrayFeatureExtractor", ("red", "green", "blue")),
        ClassNames("LinearClassifier", ("0", "1")),
    )


def test_the_training_labels_of_a_neighbours_graph_are_no_class_names() -> None:
    nodes = [helper.make_node("ArrayFeatureExtractor", ["trained_on", "index"], ["y"], domain=ML)]

    assert facts(model(nodes, constant("trained_on", [0, 1, 0, 1], np.int64))).classes == ()


def test_class_names_of_a_label_encoder_come_in_the_order_of_its_keys() -> None:
    node = helper.make_node(
        "LabelEncoder", ["x"], ["y"], domain=ML, keys_int64s=[2, 0, 1], values_strings=["c", "a", "b"]
    )

    assert facts(model([node])).classes == (ClassNames("LabelEncoder", ("a", "b", "c")),)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("names", "{0: 'cat', 1: 'dog'}"),
        ("id2label", json.dumps({"1": "dog", "0": "cat"})),
        ("label2id", json.dumps({"dog": 1, "cat": 0})),
        ("Labels", '["cat", "dog"]'),
    ],
)
def test_class_names_of_the_metadata(key: str, text: str) -> None:
    whole = model([helper.make_node("Relu", ["x"], ["y"])])
    helper.set_model_props(whole, {key: text})

    assert facts(whole).classes == (ClassNames(f"metadata {key}", ("cat", "dog")),)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cat, dog",
        "[1, 2]",
        "{0: 'a', 2: 'b'}",
        '["a", "a"]',
        '{"cat": [0, 1]}',
        "{0x1" + "f" * 5000 + ": 'a'}",
        "[" * 500_000,
        "-" * 500_000,
        "1+" * 300_000 + "1",
    ],
)
def test_metadata_that_names_no_classes_is_passed_over(text: str) -> None:
    whole = model([helper.make_node("Relu", ["x"], ["y"])])
    helper.set_model_props(whole, {"names": text})

    assert facts(whole).classes == ()


def test_categories_are_told_with_the_column_they_are_of() -> None:
    nodes = [
        helper.make_node("Gather", ["x", "one"], ["column"], axis=1),
        helper.make_node("OneHotEncoder", ["column"], ["a"], domain=ML, cats_strings=["p", "q"]),
        helper.make_node("LabelEncoder", ["z"], ["b"], domain=ML, keys_strings=["r"], values_int64s=[0]),
        helper.make_node("StringNormalizer", ["z"], ["lower"], locale="tr_TR"),
        helper.make_node("OneHotEncoder", ["lower"], ["c"], domain=ML, cats_strings=["s"]),
    ]

    found = facts(model(nodes, constant("one", [1], np.int64), inputs=("x", "z")))

    assert found.categories == (
        Categories("x", 1, ("p", "q")),
        Categories("z", None, ("r",)),
        Categories(None, None, ("s",)),
    )
    assert found.locales == ("tr_TR",)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a model",
        b"\x00" * 100,
        b"\x08\x09",
        hostile.truncated(),
        # A graph that says to be 2 GiB and one that says to be 2⁶³ bytes long.
        b"\x3a\xff\xff\xff\xff\x07abc",
        b"\x3a" + b"\xff" * 9 + b"\x01",
        hostile.deeply_nested(1000),
    ],
)
def test_what_is_no_model_is_refused_in_a_sentence(data: bytes) -> None:
    with pytest.raises(GraphInvalid, match=r"^The file .*\.$"):
        graph_facts(data)


def test_every_beginning_of_a_file_is_read_or_refused() -> None:
    whole = hostile.endless_loop()

    for end in range(len(whole)):
        try:
            graph_facts(whole[:end])
        except GraphInvalid:
            continue


def test_a_constant_that_belies_its_shape_is_refused() -> None:
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2**40, 2**40], raw_data=b"\x00" * 8)

    with pytest.raises(GraphInvalid, match="The constant w does not hold"):
        facts(model([], weights))


def test_a_name_that_is_not_utf_8_is_refused() -> None:
    data = hostile.sick_weights().replace(b"weights", b"weigh\xff\xfe")

    with pytest.raises(GraphInvalid, match="not UTF-8"):
        graph_facts(data)


def test_an_attribute_of_the_wrong_type_reads_as_empty() -> None:
    nodes = [
        helper.make_node("ZipMap", ["p"], ["y"], domain=ML, classlabels_strings=7),
        helper.make_node("SVMClassifier", ["x"], ["l", "p"], domain=ML, post_transform=[1.0]),
        helper.make_node("OneHotEncoder", ["x"], ["o"], domain=ML, cats_strings=1.5),
        helper.make_node("StringNormalizer", [], ["s"], locale=[3]),
        helper.make_node("ArrayFeatureExtractor", [], [], domain=ML),
    ]
    nodes[0].attribute[0].type = 0

    found = facts(model(nodes))

    assert (found.classes, found.categories, found.locales) == ((), (), ("",))
    assert found.endings == (Ending("y", ("ZipMap", "SVMClassifier"), "NONE"),)
