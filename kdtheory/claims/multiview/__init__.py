"""Chapter 7: Multi-view data, ensembles, distillation."""
