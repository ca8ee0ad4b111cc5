"""The model card: what a person must know before trusting a model."""
