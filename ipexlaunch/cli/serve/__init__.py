"""The commands of `ipexlaunch serve`."""
