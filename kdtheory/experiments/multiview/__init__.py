"""Multi-view data: networks in the orthogonal limit and in d dimensions, ensembles, students, and others."""
