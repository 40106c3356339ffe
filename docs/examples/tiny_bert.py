"""Writes a tiny BERT classifier as everybody saves them: config.json, tokenizer.json and
model.safetensors. Its weights are random: it shows how a model is served, not what it knows.

    python3 docs/examples/tiny_bert.py my-model
"""

import json
import random
import struct
import sys
from pathlib import Path

HIDDEN, LAYERS, HEADS, INNER, POSITIONS = 32, 2, 4, 64, 64
LABELS = ["calm", "angry"]
WORDS = "[PAD] [UNK] [CLS] [SEP] i you we they like love hate the a this film train is was good bad late".split()
LETTERS = [prefix + chr(code) for code in range(ord("a"), ord("z") + 1) for prefix in ("", "##")]


def config() -> dict:
    return {
        "architectures": ["BertForSequenceClassification"],
        "model_type": "bert",
        "vocab_size": len(vocabulary()),
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": INNER,
        "max_position_embeddings": POSITIONS,
        "type_vocab_size": 2,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "id2label": {str(i): label for i, label in enumerate(LABELS)},
    }


def vocabulary() -> dict:
    return {word: i for i, word in enumerate(dict.fromkeys(WORDS + LETTERS))}


def tokenizer() -> dict:
    known = vocabulary()
    special = {token: {"id": token, "ids": [known[token]], "tokens": [token]} for token in ("[CLS]", "[SEP]")}
    single = [
        {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": i, "content": word, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
            for i, word in enumerate(WORDS[:4])
        ],
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "TemplateProcessing", "single": single, "pair": single, "special_tokens": special},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": known,
        },
    }


def shapes() -> dict:
    """The name and the shape of every tensor."""
    found = {
        "bert.embeddings.word_embeddings.weight": [len(vocabulary()), HIDDEN],
        "bert.embeddings.position_embeddings.weight": [POSITIONS, HIDDEN],
        "bert.embeddings.token_type_embeddings.weight": [2, HIDDEN],
        "bert.embeddings.LayerNorm.weight": [HIDDEN],
        "bert.embeddings.LayerNorm.bias": [HIDDEN],
    }
    maps = {
        "attention.self.query": (HIDDEN, HIDDEN),
        "attention.self.key": (HIDDEN, HIDDEN),
        "attention.self.value": (HIDDEN, HIDDEN),
        "attention.output.dense": (HIDDEN, HIDDEN),
        "intermediate.dense": (INNER, HIDDEN),
        "output.dense": (HIDDEN, INNER),
    }
    for layer in range(LAYERS):
        for name, (rows, columns) in maps.items():
            found[f"bert.encoder.layer.{layer}.{name}.weight"] = [rows, columns]
            found[f"bert.encoder.layer.{layer}.{name}.bias"] = [rows]
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            found[f"bert.encoder.layer.{layer}.{name}.weight"] = [HIDDEN]
            found[f"bert.encoder.layer.{layer}.{name}.bias"] = [HIDDEN]
    found["bert.pooler.dense.weight"] = [HIDDEN, HIDDEN]
    found["bert.pooler.dense.bias"] = [HIDDEN]
    found["classifier.weight"] = [len(LABELS), HIDDEN]
    found["classifier.bias"] = [len(LABELS)]
    return found


def weights() -> bytes:
    """The safetensors file: the length of the header, the header, the values."""
    values = random.Random(42)
    header, data = {}, bytearray()
    for name, shape in sorted(shapes().items()):
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        around = 1.0 if name.endswith("LayerNorm.weight") else 0.0
        start = len(data)
        data += struct.pack(f"<{count}f", *(values.gauss(around, 0.3) for _ in range(count)))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [start, len(data)]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + bytes(data)


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "my-model")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config(), indent=2))
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer()))
    (folder / "model.safetensors").write_bytes(weights())
    print(f"wrote {folder}")


main()
