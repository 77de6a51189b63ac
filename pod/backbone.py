"""Backbones by name: a T5-family model from a folder or the hub, or T5's architecture trained from scratch."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from transformers import T5Config, T5ForConditionalGeneration
from transformers.utils import logging

from bench.errors import UserError
from engine.randomness import seeded
from pod.hub import Search
from pod.spiece import EOS, PAD

# (width, layers of encoder and decoder each, heads, width of a head). T5's feed-forward layers are four times as wide.
SHAPES: dict[str, tuple[int, int, int, int]] = {
    "mini": (64, 2, 4, 16),
    "small": (512, 6, 8, 64),
    "base": (768, 12, 12, 64),
}
_SCRATCH = "scratch:"
# Deviation of embeddings trained from scratch, and the name under which T5's configuration scales outputs.
_DEVIATION = 0.02
_SCALED = "scale_decoder_outputs"
_FILES = ("config.json", "model.safetensors")
_FREE_SHAPE = re.compile(r"(\d+)x(\d+)")
_HELP = f"give t5-small, another T5-family model of the hub, a folder with one, or {_SCRATCH}NAME"


@dataclass(frozen=True, eq=False)
class Backbone:
    """An encoder-decoder with a language-model head.

    network: its modules, in evaluation mode, on the CPU, float32.
    note:    what it is, said beside every number it has a part in.
    scratch: its weights are random.
    limit:   most input tokens it has positions for; None: any number (T5's positions are relative).
    """

    network: T5ForConditionalGeneration
    note: str
    scratch: bool
    limit: int | None = None


def build_backbone(
    name: str,
    vocabulary: int,
    *,
    dropout: float | None = None,
    seed: int | None = None,
    offline: bool = False,
) -> Backbone:
    """The backbone of a name.

    name:       "scratch:mini", ":small", ":base" (T5-small's and T5-base's shapes) or "scratch:WIDTHxLAYERS"; a folder
                with config.json and model.safetensors; else a model of the hub, from its local cache first.
    vocabulary: embedding rows needed. From scratch there are just as many; a pretrained model keeps its own and gets
                what is missing, drawn with the mean and deviation of its own rows.
    dropout:    in place of the model's own.
    seed:       what new weights are drawn with; None: torch's default generators, as the caller has set them.
    Raises UserError where the name is unknown, nothing is found (it says where was looked), or it is no T5.
    """
    with ExitStack() as stack:
        if seed is not None:
            stack.enter_context(seeded(seed, "cpu"))
        if name.startswith(_SCRATCH):
            return _from_scratch(name, vocabulary, dropout)
        return _pretrained(name, vocabulary, dropout, offline)


def shape_of(name: str) -> tuple[int, int, int, int]:
    """(width, layers, heads, width of a head) of a scratch name. Raises UserError where it means none."""
    key = name.removeprefix(_SCRATCH)
    if key in SHAPES:
        return SHAPES[key]
    parts = _FREE_SHAPE.fullmatch(key)
    known = ", ".join(f"{_SCRATCH}{each}" for each in SHAPES)
    if parts is None:
        raise UserError(f"unknown shape '{key}'", f"backbone {name}", f"give {known} or {_SCRATCH}WIDTHxLAYERS")
    width, layers = int(parts[1]), int(parts[2])
    # Heads grow wider with the model, from 16 to T5's 64.
    head = 16 if width < 128 else 32 if width < 512 else 64
    if width < head or width % head or layers < 1:
        fix = f"give a width that is a multiple of {head} and at least one layer"
        raise UserError(f"no shape of width {width} and {layers} layers", f"backbone {name}", fix)
    return width, layers, width // head, head


def _from_scratch(name: str, vocabulary: int, dropout: float | None) -> Backbone:
    width, layers, heads, head = shape_of(name)
    values: dict[str, Any] = {
        "vocab_size": vocabulary,
        "d_model": width,
        "d_kv": head,
        "d_ff": 4 * width,
        "num_layers": layers,
        "num_decoder_layers": layers,
        "num_heads": heads,
        "feed_forward_proj": "relu",
        "tie_word_embeddings": True,
        "pad_token_id": PAD,
        "eos_token_id": EOS,
        "decoder_start_token_id": PAD,
    }
    network = T5ForConditionalGeneration(T5Config(**values, **_dropout(dropout))).eval()
    # T5 draws embeddings with deviation 1 and scales outputs down by sqrt(width) to make up for it. A step of AdamW
    # moves such a row by a thousandth of its size, and the row of an item is met a few times an epoch: from there it
    # takes hundreds of passes to leave its random place. See docs/SCRATCH.md for what this brings.
    network.shared.weight.data.mul_(_DEVIATION)
    setattr(network.config, _SCALED, False)
    note = f"T5 from scratch, {layers}+{layers} layers, width {width}, {heads} heads of {head}, {vocabulary:,} pieces"
    return Backbone(network, note, scratch=True)


def _pretrained(name: str, vocabulary: int, dropout: float | None, offline: bool) -> Backbone:
    folder, label = _located(name, offline)
    given = _config(folder)
    if given.get("model_type", "t5") != "t5":
        raise UserError(f"a model of type '{given['model_type']}'", f"backbone {name}", "give a T5-family model")
    options: dict[str, Any] = {
        "local_files_only": True,
        "use_safetensors": True,  # the other form is a pickle
        "dtype": torch.float32,
        "output_loading_info": True,
    }
    loaded: Any
    try:
        with _quiet():
            loaded = T5ForConditionalGeneration.from_pretrained(str(folder), **options, **_dropout(dropout))
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        fix = "give a folder with a whole T5 model, or remove the damaged files to have them fetched again"
        raise UserError(f"the model cannot be loaded ({error})", str(folder), fix) from error
    network, report = loaded
    if report["missing_keys"]:
        some = ", ".join(sorted(report["missing_keys"])[:3])
        raise UserError(f"weights are missing ({some})", str(folder), "give a folder with a whole T5 model")
    _check_embeddings(network, folder)
    own = network.shared.num_embeddings
    if vocabulary > own:
        _widen(network, vocabulary)
    added = f", {vocabulary - own:,} rows added to its {own:,} embeddings" if vocabulary > own else ""
    return Backbone(network.eval(), f"{label}, pretrained{added}", scratch=False)


def _dropout(rate: float | None) -> dict[str, Any]:
    return {} if rate is None else {"dropout_rate": rate}


def _located(name: str, offline: bool) -> tuple[Path, str]:
    """The folder that holds a model, and what to call it without naming places of this machine."""
    search = Search()
    folder = Path(name)
    if folder.is_dir():
        missing = [file for file in _FILES if search.folder(folder, (file,)) is None]
        if missing:
            raise search.error("no T5 model there", f"backbone {name}", f"give a folder with {' and '.join(_FILES)}")
        return folder, folder.resolve().name
    search.looked.append(f"folder {name} (there is none)")
    found = search.snapshot(name, _FILES, offline)
    if found is None:
        fix = f"{_HELP}; where the hub cannot be reached, download it elsewhere and give its folder"
        raise search.error("no such model found", f"backbone {name}", fix)
    return found, f"{name} ({found.name[:8]})"


def _config(folder: Path) -> dict[str, Any]:
    path = folder / _FILES[0]
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"not a readable model configuration ({error})", str(path), _HELP) from error
    if not isinstance(found, dict):
        raise UserError("not a model configuration", str(path), _HELP)
    return found


def _check_embeddings(network: T5ForConditionalGeneration, folder: Path) -> None:
    """Make sure that embeddings and head are those of the file: which are one matrix, libraries have got wrong."""
    path = folder / _FILES[1]
    with safe_open(path, framework="pt") as stored:
        names = set(stored.keys())
        for name, weight in (("shared.weight", network.shared.weight), ("lm_head.weight", network.lm_head.weight)):
            if name not in names and name == "shared.weight":
                raise UserError(f"weights are missing ({name})", str(path), "give a folder with a whole T5 model")
            if name in names and not torch.equal(stored.get_tensor(name).float(), weight.detach()):
                fix = "use another version of transformers"
                raise UserError(f"{name} was not loaded as it is in the file", str(path), fix)


def _widen(network: T5ForConditionalGeneration, rows: int) -> None:
    """Give embeddings and head that many rows, new ones drawn like the old: each column's mean and deviation.

    The library's own way would make head and embeddings one matrix where they are two, as in flan-t5.
    """
    tied = network.lm_head.weight is network.shared.weight
    shared = nn.Parameter(_with_rows(network.shared.weight.detach(), rows))
    head = shared if tied else nn.Parameter(_with_rows(network.lm_head.weight.detach(), rows))
    for embedding in (network.shared, network.encoder.embed_tokens, network.decoder.embed_tokens):
        embedding.weight, embedding.num_embeddings = shared, rows
    network.lm_head.weight, network.lm_head.out_features = head, rows
    network.config.vocab_size = rows


def _with_rows(weight: Tensor, rows: int) -> Tensor:
    deviation, mean = torch.std_mean(weight, dim=0)
    new = torch.randn(rows - len(weight), weight.shape[1]) * deviation + mean
    return torch.cat([weight, new])


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars and reports of the library: what matters of them is checked."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
