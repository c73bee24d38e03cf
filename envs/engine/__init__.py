"""The batched BabyAI environments: state arrays and the compiled functions that step them."""
