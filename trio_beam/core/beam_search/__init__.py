"""Beam search as a pure state machine."""
