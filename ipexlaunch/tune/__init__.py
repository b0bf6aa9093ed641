"""Values of `ipexlaunch tune`: what can be set, what was tried, and what to try next."""
