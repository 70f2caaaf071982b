"""Experiments on agreement of student and teacher, and on limits from few labels."""
