"""What happens to logits after a forward pass."""
