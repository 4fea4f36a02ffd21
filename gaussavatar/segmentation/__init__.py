"""Masks of person, head, face and mouth; the background plate; the image behind the head."""

from gaussavatar.segmentation.records import MASK_CHANNELS, Segmentation, SegmentationConfig, load_segmentation
from gaussavatar.segmentation.selfie import SelfieSegmenter
from gaussavatar.segmentation.stage import segment_capture

__all__ = [
    "MASK_CHANNELS",
    "Segmentation",
    "SegmentationConfig",
    "SelfieSegmenter",
    "load_segmentation",
    "segment_capture",
]
