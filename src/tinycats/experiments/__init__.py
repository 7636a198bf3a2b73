"""What each revision of the pipeline measured, for people to look at."""
