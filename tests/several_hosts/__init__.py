"""Several hosts on one machine: labs (`lab.py` and its neighbours) and what is tried in them."""
