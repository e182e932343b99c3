"""The GPUs of all facilities: what runs on them, what their boards draw, and what breaks, as arrays over the fleet."""
