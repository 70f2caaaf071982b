"""Laws of tokens and sequences, estimators, drafts, truncated teachers; models taught by models."""
