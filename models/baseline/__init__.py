"""What is normal for a series: level, seasons, bands and change points, and the residual against them."""
