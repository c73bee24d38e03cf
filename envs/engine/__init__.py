"""The batched BabyAI engine: state arrays, and the compiled functions that step and observe them."""
