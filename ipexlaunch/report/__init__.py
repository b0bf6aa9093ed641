"""What people and programs see of runs, while they last and after."""
