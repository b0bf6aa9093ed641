"""Values drawn as text for people: tables, a tree, the machine in the terminal and as an SVG."""
