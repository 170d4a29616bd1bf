"""Metropolis-Hastings chains for p^alpha, as pure state machines."""
