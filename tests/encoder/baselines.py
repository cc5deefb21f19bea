"""Tiny models of transformers with random weights, as its own `save_pretrained` writes them; one of every kind that is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers as tf

SHAPE = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 48}
IMAGE = {"image_size": 32, "patch_size": 8, **SHAPE}
DINO = {**IMAGE, "image_size": 40, "mlp_ratio": 2}
DINO.pop("intermediate_size")
PRISM = {
    "image_size": 32,
    "num_frames": 4,
    "tubelet_size": [1, 8, 8],
    "num_spatial_layers": 2,
    "num_temporal_layers": 1,
}
PRISM |= {name: value for name, value in SHAPE.items() if name != "num_hidden_layers"}
WORDS = {
    "vocab_size": 100,
    "max_position_embeddings": 8,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    **SHAPE,
}

CENTRE = {"size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 32}, "do_center_crop": True}
WHOLE = {"size": {"height": 32, "width": 32}}

# name → model that is saved, the class that is the encoder, the class of its processor, the processor's numbers
KINDS: dict[str, tuple[Any, str, str, dict[str, Any]]] = {
    "videomae": (
        lambda: tf.VideoMAEForVideoClassification(tf.VideoMAEConfig(num_frames=4, **IMAGE)),
        "VideoMAEModel",
        "VideoMAEImageProcessor",
        CENTRE,
    ),
    "timesformer": (
        lambda: tf.TimesformerModel(tf.TimesformerConfig(num_frames=4, **IMAGE)),
        "TimesformerModel",
        "VideoMAEImageProcessor",
        CENTRE,
    ),
    "vivit": (
        lambda: tf.VivitModel(tf.VivitConfig(num_frames=4, tubelet_size=[2, 8, 8], image_size=32, **SHAPE)),
        "VivitModel",
        "VivitImageProcessor",
        CENTRE,
    ),
    "videoprism": (
        lambda: tf.VideoPrismVisionModel(tf.VideoPrismVisionConfig(**PRISM)),
        "VideoPrismVisionModel",
        "LlavaOnevisionVideoProcessor",
        {**WHOLE, "do_normalize": False},
    ),
    "dinov2": (lambda: tf.Dinov2Model(tf.Dinov2Config(**DINO)), "Dinov2Model", "BitImageProcessor", CENTRE),
    "registers": (
        lambda: tf.Dinov2WithRegistersModel(tf.Dinov2WithRegistersConfig(num_register_tokens=3, **DINO)),
        "Dinov2WithRegistersModel",
        "BitImageProcessor",
        CENTRE,
    ),
    "dinov3": (
        lambda: tf.DINOv3ViTModel(tf.DINOv3ViTConfig(num_register_tokens=2, **IMAGE)),
        "DINOv3ViTModel",
        "DINOv3ViTImageProcessorFast",
        WHOLE,
    ),
    "clip": (
        lambda: tf.CLIPModel(tf.CLIPConfig(vision_config=IMAGE, text_config=WORDS)),
        "CLIPVisionModel",
        "CLIPImageProcessor",
        CENTRE,
    ),
    "siglip": (
        lambda: tf.SiglipModel(tf.SiglipConfig(vision_config=IMAGE, text_config=WORDS)),
        "SiglipVisionModel",
        "SiglipImageProcessor",
        WHOLE,
    ),
    "vit": (lambda: tf.ViTForImageClassification(tf.ViTConfig(**IMAGE)), "ViTModel", "ViTImageProcessor", WHOLE),
    "vit_mae": (
        lambda: tf.ViTMAEModel(tf.ViTMAEConfig(**IMAGE)),
        "ViTMAEModel",
        "ViTFeatureExtractor",
        {"size": 32},
    ),
    "beit": (
        lambda: tf.BeitModel(tf.BeitConfig(use_relative_position_bias=True, **IMAGE)),
        "BeitModel",
        "BeitImageProcessor",
        WHOLE,
    ),
}
VIDEO = ("videomae", "timesformer", "vivit", "videoprism")
ONE_FOR_ALL = ("timesformer", "vivit")
"""Video models with a class token, one a window."""

PILLOW = {
    "VideoMAEImageProcessor": "VideoMAEImageProcessorPil",
    "VivitImageProcessor": "VivitImageProcessor",
    "BitImageProcessor": "BitImageProcessorPil",
    "CLIPImageProcessor": "CLIPImageProcessorPil",
    "SiglipImageProcessor": "SiglipImageProcessorPil",
    "ViTImageProcessor": "ViTImageProcessorPil",
    "ViTFeatureExtractor": "ViTImageProcessorPil",
    "BeitImageProcessor": "BeitImageProcessorPil",
}
"""The library's own processors that run without torchvision."""


def save(kind: str, folder: Path, **options: Any) -> Path:
    """Save a model of this kind with random numbers in every part, and its processor's file."""
    build, _, processor, numbers = KINDS[kind]
    torch.manual_seed(0)
    model = build()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
    model.save_pretrained(folder, **options)
    key = "video_processor_type" if "Video" in processor.removeprefix("VideoMAE") else "image_processor_type"
    key = "feature_extractor_type" if processor.endswith("Extractor") else key
    (folder / "preprocessor_config.json").write_text(json.dumps({key: processor, **numbers}))
    return folder


def edit(folder: Path, name: str, **values: Any) -> None:
    """Change keys of a JSON file of a model's folder."""
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
