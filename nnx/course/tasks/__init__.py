"""The files that students start from, one for each task. They raise NotImplementedError until written."""
