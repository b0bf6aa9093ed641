"""`ipexlaunch serve --endpoint` as users have it, under a load that does not wait for it."""
