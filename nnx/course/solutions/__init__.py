"""The reference of each task, the data that it is checked with, and usual mistakes. This is for teachers."""
