"""What runs models and unchanged scripts, in the workers' interpreter; needs nothing of the launcher."""
