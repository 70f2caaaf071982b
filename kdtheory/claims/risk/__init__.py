"""Chapter 4: One-hot against Bayes-distilled risk."""
