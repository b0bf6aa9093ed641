"""Rewrites a graph of OpenVINO before it is compiled: what belongs in it, and what OpenVINO makes of it.

Each leaves what the graph says as it is.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy
import openvino
from openvino import opset13

_LEAST_NORM = 1e-12
"""As torch.nn.functional.normalize has it."""

_GATES = ("Swish", "Gelu")


def pool(graph: openvino.Model) -> None:
    """Let a graph that gives hidden states give what `run_task.embed` makes of them.

    A call of 1 x 16 tokens finds torch's own kernels no longer in the caches: there it takes a tenth of the call.

    Args:
        graph: one with an input named attention_mask; it is changed.
    """
    hidden = graph.get_results()[0].input_value(0)
    mask = opset13.convert(graph.input("attention_mask").node, "f32")
    weights = opset13.unsqueeze(mask, opset13.constant(2, dtype=numpy.int64))
    tokens = opset13.constant([1], dtype=numpy.int64)
    total = opset13.reduce_sum(opset13.multiply(hidden, weights), tokens, keep_dims=False)
    count = opset13.reduce_sum(mask, tokens, keep_dims=True)
    mean = opset13.divide(total, opset13.maximum(count, opset13.constant(1.0, dtype=numpy.float32)))
    vectors = opset13.normalize_l2(mean, tokens, eps=_LEAST_NORM**2, eps_mode="max")
    graph.remove_result(graph.get_results()[0])
    graph.add_results([opset13.result(vectors)])
    graph.validate_nodes_and_infer_types()


def scale_once(graph: openvino.Model) -> None:
    """Let the scale that nncf put behind a norm's own be one with it, where OpenVINO will not make them one pass.

    It does in a graph of one shape. In one of open shapes the norm's result is written, read, scaled, and written again
    for the product that quantises it: of a call of 8 x 128 tokens (MiniLM, a Xeon with AMX) that is a twentieth.

    Args:
        graph: it is changed; (x * a + b) * s is x * (a * s) + b * s there, and whoever else reads x * a + b still does.
    """
    for node in graph.get_ordered_ops():
        added, scaled = above(node, 2)
        kinds = [each.get_type_name() for each in (node, added, scaled)]
        constants = [above(each, 1, port=1)[0] for each in (node, added, scaled)]
        if kinds != ["Multiply", "Add", "Multiply"] or {each.get_type_name() for each in constants} != {"Constant"}:
            continue
        if len(added.output(0).get_target_inputs()) > 1:
            smoothing, offset, scale = (each.get_data() for each in constants)
            product = opset13.multiply(scaled.input_value(0), opset13.constant(scale * smoothing))
            once = opset13.add(product, opset13.constant(offset * smoothing))
            for user in list(node.output(0).get_target_inputs()):
                user.replace_source_output(once.output(0))
    graph.validate_nodes_and_infer_types()


def keep_gates_apart(graph: openvino.Model, properties: Mapping[str, object], *, tiles: bool) -> None:
    """Keep OpenVINO from making one operation of a gated feed-forward block, where one thread is to run it.

    With AMX it makes one in bf16, which shares a block's two widening products out to two halves of the threads; of one
    thread, half is none, and the process dies of SIGFPE (OpenVINO 2026.4, its issue 33300: decoders of the llama kind).

    Args:
        graph: it is changed: gates are doubled, what they have multiplied is halved, and both are exact. A step of a
            decoder takes 1.015 of the time.
        properties: what OpenVINO will be told.
        tiles: whether the processor has AMX, as OpenVINO finds it.
    """
    # OpenVINO takes no more threads than it finds cpus.
    threads = min(int(str(properties["INFERENCE_NUM_THREADS"])), len(os.sched_getaffinity(0)))
    if threads > 1 or not tiles or properties["INFERENCE_PRECISION_HINT"] == "f32":
        return
    for node in graph.get_ordered_ops():
        kinds = [above(node, 1, port=port)[0].get_type_name() for port in (0, 1)]
        gates = [port for port in (0, 1) if kinds[port] in _GATES and kinds[1 - port] == "MatMul"]
        if node.get_type_name() != "Multiply" or not gates:
            continue
        double, half = (opset13.constant(value, dtype=numpy.float32) for value in (2.0, 0.5))
        gate = node.input(gates[0])
        gate.replace_source_output(opset13.multiply(gate.get_source_output(), double).output(0))
        readers = list(node.output(0).get_target_inputs())
        halved = opset13.multiply(node, half)
        for reader in readers:
            reader.replace_source_output(halved.output(0))
    graph.validate_nodes_and_infer_types()


def join_products(graph: openvino.Model) -> None:
    """Make one product of those that read the same values, as a layer's queries, keys and values do.

    Of few tokens that saves what lies around a product; of many, its result's parts cost more than they save.

    Args:
        graph: it is changed: products with biases, whose weights are constants, are put below each other.
    """
    readers: dict[openvino.Output, list[openvino.Node]] = {}
    for node in graph.get_ordered_ops():
        if node.get_type_name() == "MatMul" and node.get_attributes() == {"transpose_a": False, "transpose_b": True}:
            readers.setdefault(node.input_value(0), []).append(node)
    for values, products in readers.items():
        sums = [reader.get_node() for each in products for reader in each.output(0).get_target_inputs()]
        if len(products) < 2 or [each.get_type_name() for each in sums] != ["Add"] * len(products):
            continue
        weights = _below_each_other([each.input_value(1).get_node() for each in products], 0)
        biases = _below_each_other([above(each, 1, port=1)[0] for each in sums], -1)
        if weights is None or biases is None:
            continue
        joined = opset13.add(opset13.matmul(values, weights, transpose_a=False, transpose_b=True), biases)
        widths = [each.get_output_partial_shape(0)[-1].get_length() for each in sums]
        parts = opset13.variadic_split(joined, opset13.constant(-1, dtype=numpy.int64), widths)
        for number, each in enumerate(sums):
            for reader in list(each.output(0).get_target_inputs()):
                reader.replace_source_output(parts.output(number))
    graph.validate_nodes_and_infer_types()


def _below_each_other(nodes: Sequence[openvino.Node], axis: int) -> openvino.Node | None:
    """Constants, or what is computed from them alone, as one; None where they are not alike."""
    first, kind = nodes[0], nodes[0].get_type_name()
    if len({(each.get_type_name(), str(each.get_output_element_type(0))) for each in nodes}) > 1:
        return None
    if kind == "Constant":
        values = [each.get_data() for each in nodes]
        if any(each.size == 1 for each in values):  # one scale for all weights
            return first if all(numpy.array_equal(each, values[0]) for each in values) else None
        return opset13.constant(numpy.concatenate(values, axis))
    if kind not in ("Convert", "Multiply", "Subtract"):
        return None
    ports = range(first.get_input_size())
    below = [_below_each_other([each.input_value(port).get_node() for each in nodes], axis) for port in ports]
    if any(each is None for each in below):
        return None
    if kind == "Convert":
        return opset13.convert(below[0], first.get_output_element_type(0).get_type_name())
    return (opset13.multiply if kind == "Multiply" else opset13.subtract)(*below)


def has_tiles() -> bool:
    """Whether this processor has AMX; whether the kernel gives it to a process, OpenVINO does not ask here."""
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        return " amx_tile" in next((line for line in lines if line.startswith("flags")), "")


def above(node: openvino.Node, count: int, port: int = 0) -> list[openvino.Node]:
    """What a node is computed from, and that from; the last one again where there is no more.

    Args:
        node: it is not among them.
        count: how many are wanted.
        port: which of a node's inputs is followed.
    """
    found = []
    for _ in range(count):
        node = node.input_value(port).get_node() if node.get_input_size() > port else node
        found.append(node)
    return found
