"""Time series: regular steps, lags, outcomes by lead, seasons, splits by target time, scores of distributions."""
