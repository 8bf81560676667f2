"""What it costs: exact money, owning, renting, hosted models, break-even, and carbon."""
