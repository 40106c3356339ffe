"""The ONNX graph of a BERT sentence encoder, written from its safetensors.

The graph takes `input_ids` and `attention_mask` ([batch, tokens], int64) and gives `embedding`
([batch, width], f32): BERT's layers with the exact (erf) GELU, the mean over the tokens of the
mask, scaled to length 1. Nodes are laid out as PyTorch exports them, so that the optimizers of
ONNX Runtime and OpenVINO know the patterns. The embedding of the one token type is added to the
positions' beforehand, and weights are stored as the product needs them.

ONNX Runtime gets it in two variants, as written and with BERT's fusions by its own
`transformers.optimizer`, each in f32 and quantised; which is faster depends on the machine.
"""

import hashlib
import json
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers.optimizer import optimize_model
from safetensors.numpy import load_file

OPSET = 17
IR_VERSION = 10


class Graph:
    """Nodes and constants, as they come."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def node(self, kind: str, *inputs: str, output: str = "", **attributes) -> str:
        """Adds a node; gives the name of its output."""
        name = output or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=f"{name}/node", **attributes))
        return name

    def constant(self, name: str, value) -> str:
        """Adds a constant, float32 or int64; gives its name."""
        array = np.ascontiguousarray(value)
        array = array.astype(np.float32 if array.dtype.kind == "f" else np.int64)
        self.constants.append(numpy_helper.from_array(array, name))
        return name


class Bert(Graph):
    """The graph of one model."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.config = json.loads((folder / "config.json").read_text())
        assert self.config["hidden_act"] == "gelu", "only the exact GELU is written"
        self.weights = load_file(folder / "model.safetensors")
        self.width = self.config["hidden_size"]
        self.heads = self.config["num_attention_heads"]
        head = self.width // self.heads
        self.constant("root_head", np.sqrt(np.float32(head)))
        self.constant("split", [0, 0, self.heads, head])
        self.constant("join", [0, 0, self.width])
        for name, value in (("zero", [0]), ("axis1", [1]), ("axis2", [2])):
            self.constant(name, value)
        for name, value in (("one", 1.0), ("half", 0.5), ("root2", np.sqrt(2.0))):
            self.constant(name, np.float32(value))
        self.constant("masked", np.float32(-10000.0))

    def model(self) -> onnx.ModelProto:
        """The whole model."""
        mask = self.mask()
        hidden = self.embeddings()
        for layer in range(self.config["num_hidden_layers"]):
            hidden = self.layer(f"encoder.layer.{layer}", hidden, mask)
        self.pool(hidden)
        ids = [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
            for name in ("input_ids", "attention_mask")
        ]
        shape = ["batch", self.width]
        embedding = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, shape)
        graph = helper.make_graph(self.nodes, "bert", ids, [embedding], self.constants)
        opset = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION)
        onnx.checker.check_model(model, full_check=True)
        return model

    def mask(self) -> str:
        """What is added to the attention scores: 0 for a token, much less than 0 for padding."""
        wide = self.node("Unsqueeze", "attention_mask", "axis1")
        wide = self.node("Unsqueeze", wide, "axis2")
        wide = self.node("Cast", wide, to=TensorProto.FLOAT)
        return self.node("Mul", self.node("Sub", "one", wide), "masked")

    def embeddings(self) -> str:
        """Words and positions."""
        prefix = "embeddings"
        words = self.constant("words", self.weights[f"{prefix}.word_embeddings.weight"])
        positions = self.weights[f"{prefix}.position_embeddings.weight"]
        types = self.weights[f"{prefix}.token_type_embeddings.weight"]
        self.constant("positions", positions + types[0])
        length = self.node("Slice", self.node("Shape", "input_ids"), "axis1", "axis2", "zero")
        placed = self.node("Slice", "positions", "zero", length, "zero")
        total = self.node("Add", self.node("Gather", words, "input_ids"), placed)
        return self.norm(prefix, total)

    def layer(self, prefix: str, hidden: str, mask: str) -> str:
        """Attention and feed-forward, each with its residual and its norm."""
        query, key, value = (
            self.node("Reshape", self.linear(f"{prefix}.attention.self.{part}", hidden), "split")
            for part in ("query", "key", "value")
        )
        query = self.node("Transpose", query, perm=[0, 2, 1, 3])
        key = self.node("Transpose", key, perm=[0, 2, 3, 1])
        value = self.node("Transpose", value, perm=[0, 2, 1, 3])
        scores = self.node("Div", self.node("MatMul", query, key), "root_head")
        shares = self.node("Softmax", self.node("Add", scores, mask), axis=-1)
        context = self.node("Transpose", self.node("MatMul", shares, value), perm=[0, 2, 1, 3])
        context = self.node("Reshape", context, "join")
        attended = self.linear(f"{prefix}.attention.output.dense", context)
        hidden = self.norm(f"{prefix}.attention.output", self.node("Add", attended, hidden))
        inner = self.gelu(self.linear(f"{prefix}.intermediate.dense", hidden))
        outer = self.linear(f"{prefix}.output.dense", inner)
        return self.norm(f"{prefix}.output", self.node("Add", outer, hidden))

    def linear(self, prefix: str, x: str) -> str:
        """`x W + b`."""
        weight = self.constant(f"{prefix}.weight", self.weights[f"{prefix}.weight"].T)
        bias = self.constant(f"{prefix}.bias", self.weights[f"{prefix}.bias"])
        return self.node("Add", self.node("MatMul", x, weight), bias)

    def norm(self, prefix: str, x: str) -> str:
        """LayerNorm over the last axis."""
        names = [f"{prefix}.LayerNorm.{part}" for part in ("weight", "bias")]
        scale, shift = (self.constant(name, self.weights[name]) for name in names)
        epsilon = self.config["layer_norm_eps"]
        return self.node("LayerNormalization", x, scale, shift, axis=-1, epsilon=epsilon)

    def gelu(self, x: str) -> str:
        """`x (1 + erf(x / sqrt 2)) / 2`."""
        erf = self.node("Erf", self.node("Div", x, "root2"))
        return self.node("Mul", self.node("Mul", x, self.node("Add", erf, "one")), "half")

    def pool(self, hidden: str) -> None:
        """The mean over the tokens that are not padding, scaled to length 1.

        The scaling makes the division by their number superfluous.
        """
        mask = self.node("Cast", "attention_mask", to=TensorProto.FLOAT)
        kept = self.node("Mul", hidden, self.node("Unsqueeze", mask, "axis2"))
        total = self.node("ReduceSum", kept, "axis1", keepdims=0)
        length = self.node("ReduceL2", total, axes=[1], keepdims=1)
        self.node("Div", total, length, output="embedding")


@dataclass(frozen=True)
class Graphs:
    """The files that the peers load."""

    onnx: Path
    """As written."""
    ort: dict[str, dict[str, Path]]
    """By precision (`f32`, `i8`) and variant, optimised for this machine and ready to map."""

    @classmethod
    def build(cls, model: Path, folder: Path) -> "Graphs":
        """Writes the files, unless they are there from the same program and library."""
        variants = {
            precision: {name: folder / f"{name}-{precision}.ort" for name in ("written", "fused")}
            for precision in ("f32", "i8")
        }
        graphs = cls(folder / "written.onnx", variants)
        source = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
        stamp, made_by = folder / "stamp", f"{onnxruntime.__version__} {source}"
        if not stamp.exists() or stamp.read_text() != made_by:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            graphs.write(model)
            stamp.write_text(made_by)
        return graphs

    def write(self, model: Path) -> None:
        """Writes every variant."""
        logging.disable(logging.WARNING)
        bert = Bert(model)
        onnx.save(bert.model(), self.onnx)
        fused = self.onnx.with_name("fused.onnx")
        # Level 0 leaves ONNX Runtime's own passes to the session; they would ask for PyTorch.
        optimize_model(
            str(self.onnx),
            model_type="bert",
            num_heads=bert.heads,
            hidden_size=bert.width,
            opt_level=0,
        ).save_model_to_file(str(fused))
        for variant, file in (("written", self.onnx), ("fused", fused)):
            optimised(file, self.ort["f32"][variant])
            small = file.with_name(f"{variant}-i8.onnx")
            quantize_dynamic(
                file,
                small,
                per_channel=True,
                weight_type=QuantType.QInt8,
                # Shapes are not inferred behind fused nodes; everything there is f32.
                extra_options={"DefaultTensorType": TensorProto.FLOAT},
            )
            optimised(small, self.ort["i8"][variant])
        logging.disable(logging.NOTSET)


def optimised(graph: Path, target: Path) -> None:
    """All of ONNX Runtime's optimisations, saved in its own format, which it can map."""
    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    settings.optimized_model_filepath = str(target)
    settings.add_session_config_entry("session.save_model_format", "ORT")
    settings.log_severity_level = 3
    onnxruntime.InferenceSession(str(graph), settings, providers=["CPUExecutionProvider"])
