"""The machine as its kernel describes it: read, checked, written down, drawn; nothing about it is changed."""
