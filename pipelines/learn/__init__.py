"""Learn: baselines, features, training, evaluation and promotion."""
