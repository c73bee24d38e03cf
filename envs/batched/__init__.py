"""The compiled engine: BabyAI's dynamics, observation and instructions for many environments at once."""
