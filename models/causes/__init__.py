"""From signals to incidents, hypotheses and a diagnosis."""
