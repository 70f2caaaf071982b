"""Chapter 1: Response: temperature softmax and the loss of distillation."""
