"""A corpus: videos called ``anna/joy_2.mp4``."""

from vjepa_fer.manifest.named import PathRule

THEATRE = PathRule(
    title="Theatre",
    pattern=r"(?P<subject>[a-z]+)/(?P<label>joy|sorrow)_(?P<take>\d+)",
    clip_id="{subject}_{label}_{take}",
    num_clips=12,
    example="anna/joy_2.mp4",
)
