"""Code that several test modules share; pytest puts the folder tests/ on the path (pyproject.toml)."""
