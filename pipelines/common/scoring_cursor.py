"""The cursor that stores until when samples have been scored."""

SCORED_UNTIL = "score"
