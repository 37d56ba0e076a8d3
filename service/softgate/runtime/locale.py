"""
Graphs that lower-case text without saying by which locale.

onnxruntime then takes en_US.UTF-8, which a slim image does not have, and refuses the graph. C.UTF-8 is always there and
lower-cases every script alike; the exporter's own differences aside, the answers are the same.
"""

from onnx import AttributeProto, helper, load_model_from_string

LOCALE = "C.UTF-8"


def with_locale(model: bytes) -> bytes:
    """The same graph with the locale named wherever a StringNormalizer names none or the engine's default."""
    graph = load_model_from_string(model)
    for node in graph.graph.node:
        if node.op_type != "StringNormalizer":
            continue
        kept: list[AttributeProto] = [each for each in node.attribute if each.name != "locale"]
        del node.attribute[:]
        node.attribute.extend([*kept, helper.make_attribute("locale", LOCALE)])
    return bytes(graph.SerializeToString())
