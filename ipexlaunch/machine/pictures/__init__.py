"""The machine drawn as text for people, and as an SVG."""
