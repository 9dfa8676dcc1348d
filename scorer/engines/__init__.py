"""What computes a network: torch, or an engine made for inference, chosen by a short measurement (docs/adr/0027)."""
