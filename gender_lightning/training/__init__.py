"""Optimizers, schedules, losses and the callbacks of a training."""
