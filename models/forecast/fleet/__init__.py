"""The fleet model, which learns from all series together."""
