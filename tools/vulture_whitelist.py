"""Names that are used, but not by us: `vulture ipexlaunch tools/vulture_whitelist.py --min-confidence 60` is silent.

Each line has its reason. No program runs this file.
"""

# click asks its commands for them.
list_commands  # noqa: B018, F821
get_command  # noqa: B018, F821
format_commands  # noqa: B018, F821
