"""YAML and JSON text to values and back: versioned, strict, with the place of every mistake."""
