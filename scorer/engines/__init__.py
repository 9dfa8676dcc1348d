"""Engines that compute a network: torch, or one made for inference, chosen by a short measurement (docs/adr/0027)."""
